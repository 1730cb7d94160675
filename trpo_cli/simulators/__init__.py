"""Many environments behind one batched protocol: see `base` for it and `make` to get one."""
