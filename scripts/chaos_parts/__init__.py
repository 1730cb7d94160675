"""The parts of scripts/chaos.py: what is tried, and what must be there afterwards."""
