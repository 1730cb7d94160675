"""Many runs at once: a process for each, the index of a sweep, what a person sees of it."""
