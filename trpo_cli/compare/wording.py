"""How numbers and intervals are written in words, in tables and in the verdict alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trpo_cli.compare.statistics import Interval


def number(value: float) -> str:
    """Three significant digits or whole numbers, thousands separated."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "∞"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def formatted(form: str) -> Callable[[float], str]:
    """Numbers in a format of Python's."""
    return lambda value: "-" if math.isnan(value) else format(value, form)


def p_value(p: float, equals: str = "") -> str:
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{equals}{p:.3f}"


def plus_minus(mean: float, std: float | None) -> str:
    """The standard deviation is left out where there is none."""
    return number(mean) + ("" if std is None or math.isnan(std) else f" ± {number(std)}")


def spread(i: Interval) -> str:
    """Mean ± standard deviation."""
    return plus_minus(i.value, i.std)


def bounds(i: Interval, write: Callable[[float], str] = number) -> str:
    return "-" if math.isnan(i.low) else f"{write(i.low)} to {write(i.high)}"


def listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def runs(n: int) -> str:
    return f"{n} run{'s' * (n != 1)}"
