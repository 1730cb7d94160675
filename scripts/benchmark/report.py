"""The figures in Markdown. Ratios are medians over the pairs, with the lowest and the highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmark.ours import SAME_PHYSICS
from benchmark.pairs import Comparison


@dataclass(frozen=True)
class Row:
    """One of our rules, or the vine's rollouts.

    ceiling, others: ours against the ceiling, and against the others' best where that was measured.
    best: the arrangement that was their best. error: why there are no figures.
    """

    name: str
    ceiling: Comparison | None = None
    others: Comparison | None = None
    best: dict[str, int] | None = None
    error: str = ""


@dataclass(frozen=True)
class Result:
    """One environment on so many cores.

    ceiling: what it was. loop: the compiled loop against mujoco.batch; None for Atari.
    """

    env: str
    cores: int
    ceiling: str
    loop: Comparison | None
    rows: list[Row]


def table(result: Result) -> str:
    """A row per rule."""
    first = next((row.ceiling for row in result.rows if row.ceiling), None)
    phases = list(first.milliseconds) if first else []
    loop = f" (compiled loop by mujoco.batch: {result.loop})" if result.loop else ""
    head = ["", "steps/s", "ceiling", "of ceiling", "of its own", "times others' best", *phases]
    rows = []
    for row in result.rows:
        ours = row.ceiling
        if ours is None:
            rows.append([row.name, f"failed: {row.error}"])
            continue
        rates = [f"{ours.rate:,.0f}", f"{ours.other_rate:,.0f}", str(ours), _of_its_own(ours)]
        spent = [f"{ours.milliseconds[p]:.1f}" if p in ours.milliseconds else "" for p in phases]
        rows.append([row.name, *rates, _others(row), *spent])
    title = f"{result.env}, {_cores(result)}; ceiling: {result.ceiling}{loop}"
    return f"\n{title}\n\n{_lines(head, rows)}"


def summary(results: Sequence[Result]) -> str:
    """A row per environment and number of cores."""
    names = list(dict.fromkeys(row.name for result in results for row in result.rows))
    rows = []
    for result in results:
        ratios = {row.name: row.ceiling for row in result.rows if row.ceiling}
        ceilings = [comparison.other_rate for comparison in ratios.values()]
        ceiling = f"{median(ceilings):,.0f}" if ceilings else ""
        cells = [str(ratios.get(name, "")) for name in names]
        rows.append([result.env, str(result.cores), ceiling, *cells])
    return "\nOf the ceiling:\n\n" + _lines(["", "cores", "ceiling", *names], rows)


def _cores(result: Result) -> str:
    return "1 core" if result.cores == 1 else f"{result.cores} cores"


def _of_its_own(ours: Comparison) -> str:
    """Of the speed that the physics of the very same steps has alone."""
    alone = ours.milliseconds.get(SAME_PHYSICS)
    return "" if alone is None else f"{alone * ours.rate / 1024e3:.2f}"


def _others(row: Row) -> str:
    if row.others is None or row.best is None:
        return row.error
    how = ", ".join(f"{key}={value}" for key, value in row.best.items())
    return f"{row.others} of {row.others.other_rate:,.0f} ({how})"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; short rows are filled up."""
    full = [head, ["---"] * len(head), *([*row, *[""] * (len(head) - len(row))] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in full)
