"""A sweep that adds seeds until the order of its groups is decided."""
