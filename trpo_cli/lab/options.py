"""Types of command-line options, each with its range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return value

    return convert


def number(
    *, low: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """A finite number, at least `low`, above `above` and below `below`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= low and above < value < below):
            bounds = ((">=", low), (">", above), ("<", below))
            words = " and ".join(
                f"{sign} {bound:g}" for sign, bound in bounds if abs(bound) < 1e300
            )
            raise argparse.ArgumentTypeError(f"{text} is not a number{words and ' ' + words}")
        return value

    return convert
