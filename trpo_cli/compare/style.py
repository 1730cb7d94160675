"""What a group looks like: colour, dash and marker together, never colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

INK, RULE = "#1b1b1f", "#d8d8de"
# Okabe and Ito (2008), told apart with any common colour blindness; the second is for dark pages.
COLOURS = (
    ("#0072b2", "#5db7f0"),
    ("#d55e00", "#ff8f4a"),
    ("#009e73", "#3fd3a8"),
    ("#b0528a", "#e79cc6"),
    ("#a67400", "#f0c04a"),
    ("#3a3a40", "#c9c9d2"),
)
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (6, 2, 1.5, 2), (1.5, 1.5), (9, 3))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Look:
    """number: of its colour, below zero for that of the text. dash: lengths of strokes and gaps, ()
    for solid. marker: matplotlib's name."""

    number: int
    dash: tuple[float, ...]
    marker: str

    @property
    def colour(self) -> str:
        return INK if self.number < 0 else COLOURS[self.number][0]

    @property
    def line(self) -> Any:
        """matplotlib's line style."""
        return (0, self.dash) if self.dash else "-"

    @property
    def solid(self) -> Look:
        return replace(self, dash=())


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """One per group; combinations repeat only after 210 groups."""
    return {
        label: Look(i % len(COLOURS), DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)])
        for i, label in enumerate(labels)
    }


PLAIN = Look(-1, (), "o")
"""What belongs to no group: the colour of the text."""
