"""The numbers of rows and evaluations, under the names that TensorBoard and trackers show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Those of a line of metrics.jsonl but its step: no text, no null."""
    return {k: v for k, v in row.items() if k != "step" and isinstance(v, (int, float))}


def means(record: Mapping[str, Any]) -> dict[str, float]:
    """Those of a line of eval.jsonl: eval/return_mean, eval/return_std and eval/length_mean."""
    values = {f"eval/{key}": record[key] for key in ("return_mean", "return_std")}
    if lengths := record.get("lengths"):
        values["eval/length_mean"] = sum(lengths) / len(lengths)
    return {k: v for k, v in values.items() if isinstance(v, (int, float))}
