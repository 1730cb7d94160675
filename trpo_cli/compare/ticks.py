"""Round numbers along an axis, and how they are written."""

from __future__ import annotations

import math


def linear_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten within [low, high], about `wanted`."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1.0, 2.0, 2.5, 5.0, 10.0) if f * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high], every second or third where there are many; where there
    are fewer than two, 1, 2 and 5 times them, or else as on a linear axis."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**k for k in range(first, last + 1, 1 + max(0, last - first) // 5)]
    if len(powers) > 1:
        return powers
    fine = [f * 10.0**k for k in range(first - 1, last + 2) for f in (1.0, 2.0, 5.0)]
    inside = [v for v in fine if low <= v <= high]
    return inside if len(inside) > 1 else linear_ticks(low, high, 4)


def words(value: float) -> str:
    """2500 -> 2500, 25000 -> 25k, 1e6 -> 1M, 1e-5 -> 1e-5."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.4g}M"
    if size >= 1e4:
        return f"{value / 1e3:.4g}k"
    text = f"{value:.4g}"
    return text.replace("e-0", "e-") if size < 1e-15 or "e" in text else text
