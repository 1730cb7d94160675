"""``trpo-compare``: many runs into learning curves, tables and a verdict with honest statistics."""
