"""What a run directory must hold for its run to be compared: it may be anybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trpo_cli.runs.directory import CONFIG, EVAL, MANIFEST, METRICS

WHOLE = 2**63
"""Whole numbers of a run lie below."""
LARGEST = 1e100
"""No number of a run is larger: sums and ratios of such stay finite."""

TYPES: dict[str, tuple[type, ...]] = {
    "env.id": (str,),
    "algo.name": (str,),
    "sampler.name": (str, type(None)),
    "seed": (int, type(None)),
    "total_steps": (int,),
    "eval.deterministic": (bool, type(None)),
    "algo.max_kl": (int, float, type(None)),
    "algo.schedule": (str, type(None)),
    "algo.step_rule": (str, type(None)),
}
"""The settings that the comparison works with; the others are only shown."""


def check_config(config: Mapping[str, Any]) -> None:
    """config: flat. Raises ValueError naming the setting that is not one of a run's."""
    if not {"env.id", "algo.name", "total_steps"} <= config.keys():
        raise ValueError(f"its {CONFIG} is not one of a run")
    for key, value in config.items():
        kinds = TYPES.get(key, (bool, int, float, str, list, dict, type(None)))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"its {CONFIG} has {key}={value!r}")
        if isinstance(value, int) and abs(value) >= WHOLE:
            raise ValueError(f"its {CONFIG} has a {key} of {value.bit_length()} bits")
    if not (config["env.id"] and config["algo.name"] and config["total_steps"] > 0):
        raise ValueError(f"its {CONFIG} is not one of a run")


def check_manifest(manifest: Any) -> None:
    """Raises ValueError for what is no manifest."""
    if not isinstance(manifest, dict):
        raise ValueError(f"its {MANIFEST} is not one of a run")
    versions = manifest.get("versions", {})
    if not isinstance(versions, dict) or not _texts(versions.values()):
        raise ValueError(f"its {MANIFEST} has versions={versions!r}")
    for key in ("version", "status", "backend"):
        if not isinstance(manifest.get(key, ""), str):
            raise ValueError(f"its {MANIFEST} has {key}={manifest[key]!r}")


def check_clock(columns: Mapping[str, Any]) -> None:
    """Raises ValueError unless steps increase, and every row has its seconds."""
    if not np.all(np.diff(columns.get("step", [])) > 0):
        raise ValueError(f"the steps in its {METRICS} do not increase")
    for key in ("step", "seconds"):
        if key not in columns or not np.isfinite(columns[key]).all():
            raise ValueError(f"not every row of its {METRICS} has {key}")


def check_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError for a line that is no evaluation."""
    for number, line in enumerate(evaluations, 1):
        whole = all(_is_whole(line.get(key)) for key in ("step", "episodes"))
        mean = line.get("return_mean")
        if not whole or not (mean is None or _is_number(mean)):
            raise ValueError(f"line {number} of its {EVAL} is no evaluation")


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < WHOLE


def _is_number(value: Any) -> bool:
    """Whether it is one that a float can hold."""
    if isinstance(value, int):
        return abs(value) < WHOLE
    return isinstance(value, float) and abs(value) <= LARGEST
