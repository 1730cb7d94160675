QUICK = "tests.support.quick_worker"
