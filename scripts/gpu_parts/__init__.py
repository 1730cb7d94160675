"""The parts of scripts/gpu.py: each gives its cases for a plan."""
