"""The episodes in progress as a checkpoint holds them: group by group, one row per environment.

Groups follow each other in the order of the environments, whichever process they belonged to, so
that a run may go on with its environments divided in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trpo_cli.data.states import join, part
from trpo_cli.simulators.base import Snapshot, together

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Group:
    """Some environments: what they show, and their state; None when that could not be taken."""

    observations: np.ndarray
    snapshot: Snapshot | None


def pack(groups: Sequence[Group]) -> tuple[Arrays, dict[str, Any]]:
    """Arrays, and what JSON holds."""
    arrays: Arrays = {}
    for number, group in enumerate(groups):
        arrays[f"observations/{number}"] = group.observations
        if group.snapshot is not None:
            own = group.snapshot.arrays
            arrays |= join({f"simulator/{number}": own})
    return arrays, {"simulators": [group.snapshot and group.snapshot.items for group in groups]}


def unpack(arrays: Arrays, state: dict[str, Any]) -> list[Group]:
    """The groups that were packed."""
    groups = []
    for number, items in enumerate(state["simulators"]):
        own = part(arrays, f"simulator/{number}")
        snapshot = None if items is None else Snapshot(own, items)
        groups.append(Group(arrays[f"observations/{number}"], snapshot))
    return groups


def take(groups: Sequence[Group], first: int, count: int) -> Group:
    """Environments first, ..., first + count - 1 of all groups."""
    observations, snapshots, start = [], [], 0
    for group in groups:
        size = len(group.observations)
        rows = range(size)[max(first - start, 0) : max(first + count - start, 0)]
        if rows:
            observations.append(group.observations[rows.start : rows.stop])
            snapshots.append(group.snapshot and group.snapshot.rows(rows))
        start += size
    if start < first + count:
        raise ValueError(f"there are {start} environments, not {first + count}")
    whole = [snapshot for snapshot in snapshots if snapshot is not None]
    return Group(
        np.concatenate(observations), together(whole) if len(whole) == len(snapshots) else None
    )


def merge(states: Sequence[tuple[Arrays, dict[str, Any]]]) -> tuple[Arrays, dict[str, Any]]:
    """One state from those of several processes."""
    arrays, state = pack([group for part in states for group in unpack(*part)])
    for key in ("returns", "lengths", "memory"):
        if key in states[0][0]:
            arrays[key] = np.concatenate([part[key] for part, _ in states])
    return arrays, state
