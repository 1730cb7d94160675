QUICK = "tests.support.quick_run"
