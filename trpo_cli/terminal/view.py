"""How far a run is, as one line for a file or a few for a terminal: the same facts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trpo_cli.terminal.display import duration, fitted

KEPT = 128
"""Points of a curve that are kept; more are averaged in pairs."""
CELLS = 32
"""Of a curve drawn in a line of text."""
BAR = 20
LEVELS = "▁▂▃▄▅▆▇█"


class History:
    """A curve of any length in little memory: its points are means over equally many values."""

    def __init__(self) -> None:
        self.points: list[float] = []
        self._each, self._sum, self._number = 1, 0.0, 0

    def add(self, value: float) -> None:
        self._sum, self._number = self._sum + value, self._number + 1
        if self._number == self._each:
            self.points.append(self._sum / self._each)
            self._sum, self._number = 0.0, 0
        if len(self.points) == KEPT:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [(a + b) / 2 for a, b in pairs]
            self._each *= 2


@dataclass
class View:
    """title: what runs. total: environment steps to do. bound: on the KL of an update, if any.
    rate: steps per second, 0 as long as it is unknown. memory: that the process has, bytes."""

    title: str
    total: int
    bound: float | None = None
    step: int = 0
    rate: float = 0.0
    memory: int | None = None
    returned: float = math.nan
    best: float = math.nan
    kl: float = math.nan
    accepted: int = 0
    judged: int = 0
    evaluation: str = ""
    history: History = field(default_factory=History)

    def take(self, row: Mapping[str, Any]) -> None:
        """Take note of one row of metrics."""
        self.step = int(row["step"])
        recent = _number(row.get("train/return_recent"))
        if not math.isnan(recent):
            self.returned = recent
            self.best = recent if math.isnan(self.best) else max(self.best, recent)
            self.history.add(recent)
        self.kl = _number(row.get("policy/kl"))
        accepted = row.get("trust_region/accepted")
        if accepted is not None:
            self.judged += 1
            self.accepted += bool(accepted)

    def take_evaluation(self, record: Mapping[str, Any]) -> None:
        """Take note of a line of eval.jsonl."""
        self.evaluation = f"{record['return_mean']:.4g} ± {record['return_std']:.4g}"

    def line(self) -> str:
        """All facts in one line."""
        parts = [f"{self.share:4.0%}", f"step {self.step:,}", f"return {_short(self.returned)}"]
        return "  ".join([*parts, *self._update(), *self._speed()])

    def lines(self, width: int) -> str:
        """The same facts, a curve and a bar, in lines of at most so many columns."""
        done = round(BAR * self.share)
        head = [f"{self.share:4.0%}", f"step {self.step:,} of {self.total:,}", *self._speed()]
        curve = f"return {_short(self.returned)}  {sparkline(self.history.points)}"
        if not math.isnan(self.best):
            curve += f"  best {_short(self.best)}"
        bar = f"{'━' * done}{'─' * (BAR - done)}"
        text = "\n".join([f"{bar} {'  '.join(head)}", curve, "  ".join(self._update())])
        return fitted(text, width)

    @property
    def share(self) -> float:
        return min(1.0, self.step / self.total)

    def _update(self) -> list[str]:
        """What is known of the updates."""
        bound = "" if self.bound is None else f" of {self.bound:.4g}"
        parts = [f"KL {_short(self.kl)}{bound}"]
        if self.judged:
            parts.append(f"accepted {self.accepted:,} of {self.judged:,}")
        if self.evaluation:
            parts.append(f"evaluation {self.evaluation}")
        return parts

    def _speed(self) -> list[str]:
        parts = [f"{self.rate:,.0f} steps/s"] if self.rate > 0 else []
        if self.rate > 0 and self.step < self.total:
            parts.append(f"{duration((self.total - self.step) / self.rate)} left")
        if self.memory is not None:
            parts.append(f"{self.memory / 2**20:,.0f} MiB")
        return parts


def kl_bound(rule: Any) -> float | None:
    """The bound on an update's KL that an update rule's settings name."""
    if getattr(rule, "step_rule", "normalized") != "normalized":
        return None  # NPG's other rule has no bound
    bounds = (getattr(rule, name, None) for name in ("max_kl", "target_kl", "kl_target"))
    return next((float(bound) for bound in bounds if bound is not None), None)


def sparkline(values: list[float], cells: int = CELLS) -> str:
    """A curve as a line of text: each character is the mean of equally many values."""
    if not values:
        return ""
    size = max(1, math.ceil(len(values) / cells))
    means = [
        math.fsum(part) / len(part)
        for part in (values[i : i + size] for i in range(0, len(values), size))
    ]
    low, high = min(means), max(means)
    top = len(LEVELS) - 1
    scale = top / (high - low) if high > low else 0.0
    return "".join(LEVELS[round(scale * (mean - low))] for mean in means)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
