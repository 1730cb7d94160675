"""Small problems with known answers: exact experiments, and an environment that poses one."""
