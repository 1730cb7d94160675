"""What reference.py is made of: cells, the work on them, and pages from what they gave."""
