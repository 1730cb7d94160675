QUICK = "tests.sweeps.quick_worker"
