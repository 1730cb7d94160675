"""Compiled loops. What needs them imports them when a run is built: numba is not for `--help`."""
