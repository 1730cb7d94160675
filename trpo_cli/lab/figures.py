"""How figures look, and how they are saved: the only module here that needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

# Okabe and Ito's colours, which colour-blind readers can tell apart; lines differ in their dashes
# too, for print in grey.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), "-.", "--"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]

STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "trpo_cli",  # the same figure is the same file
    "svg.fonttype": "none",
}


def save(draw: Callable[[Any, Any], None], findings: Any, stem: Path) -> list[Path]:
    """Let `draw(findings, pyplot)` make one figure, and write stem.png and stem.svg; returns the
    paths. Folders are made; raises OSError when the disk refuses."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with matplotlib.rc_context(STYLE):
        try:
            draw(findings, plt)
            stem.parent.mkdir(parents=True, exist_ok=True)
            plt.savefig(paths[0], dpi=200)
            plt.savefig(paths[1], metadata={"Date": None})
        finally:
            plt.close("all")
    return paths


def look(index: int) -> dict[str, Any]:
    """Colour and dashes of curve number `index`."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}
