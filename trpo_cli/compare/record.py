"""A comparison as one JSON object, and how it came to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trpo_cli.compare.formats import Table, to_json
from trpo_cli.compare.ranking import headline
from trpo_cli.compare.results import Comparison
from trpo_cli.compare.sweep import Sweep

KINDS = ("svg", "png", "pdf")
"""Files of a figure."""


@dataclass(frozen=True)
class Made:
    """How a page came to be. command: as it was typed. date: in words. version: of the package.
    methods: the paragraphs of `methods`."""

    command: str
    date: str
    version: str
    methods: Sequence[str]


def as_json(
    comparison: Comparison,
    sweeps: Sequence[Sweep],
    tables: Sequence[Table],
    words: str,
) -> dict[str, Any]:
    """Every table as a list of objects, numbers unrounded, null where there is none."""
    return {
        "headline": headline(comparison),
        "verdict": words,
        "protocol": {"final": comparison.protocol.final, "best": comparison.protocol.best},
        "runs": comparison.runs,
        "fewest_runs": comparison.fewest,
        "notes": comparison.notes,
        "diagnosis": [
            {"env": e.env, "group": g.label, "findings": g.diagnosis}
            for e in comparison.envs
            for g in e.groups
        ],
        "sweep_warnings": [{"env": s.env, "algo": s.algo, "warnings": s.warnings} for s in sweeps],
        "tables": {t.name: to_json(t) for t in tables},
        "files": [],
    }
