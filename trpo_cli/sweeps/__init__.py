"""Many runs at once: worker processes, the index of a sweep, the table of its jobs."""
