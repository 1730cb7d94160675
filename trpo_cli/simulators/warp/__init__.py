"""Thousands of MuJoCo environments on one device, with MuJoCo Warp and torch."""
