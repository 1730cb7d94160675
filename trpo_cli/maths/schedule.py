"""Step sizes over the course of training."""

from __future__ import annotations


def scheduled(size: float, schedule: str, remaining: float) -> float:
    """A step size; `linear` falls to zero with the share of training that remains, in [0, 1]."""
    return size * remaining if schedule == "linear" else size
