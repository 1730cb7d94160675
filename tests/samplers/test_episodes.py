"""Saved episodes, divided among other groups and processes than they come from."""

from __future__ import annotations

import numpy as np
import pytest

from trpo_cli.samplers.episodes import Group, merge, pack, take, unpack
from trpo_cli.simulators.base import Snapshot


def group(first: int, count: int, width: int) -> Group:
    """Environments of which each holds its number, in rows of `width` with zeros behind it."""
    numbers = np.arange(first, first + count)
    padded = np.zeros((count, width))
    padded[:, 0] = numbers
    items = [{"number": int(n)} for n in numbers]
    return Group(numbers[:, None] * 1.0, Snapshot({"state": padded}, items))


GROUPS = [group(0, 2, 3), group(2, 3, 1), group(5, 1, 2)]


class TestTake:
    @pytest.mark.parametrize(("first", "count"), [(0, 2), (2, 3), (1, 3), (0, 6), (4, 2), (3, 1)])
    def test_any_environments_in_their_order(self, first: int, count: int) -> None:
        found, wanted = take(GROUPS, first, count), list(range(first, first + count))
        assert found.observations[:, 0].tolist() == wanted
        assert found.snapshot is not None
        assert found.snapshot.arrays["state"][:, 0].tolist() == wanted
        assert not found.snapshot.arrays["state"][:, 1:].any()
        assert found.snapshot.items == [{"number": n} for n in wanted]

    def test_too_many(self) -> None:
        with pytest.raises(ValueError, match="6 environments, not 7"):
            take(GROUPS, 3, 4)

    def test_without_a_snapshot_of_all(self) -> None:
        without = [GROUPS[0], Group(GROUPS[1].observations, None)]
        assert take(without, 1, 2).snapshot is None
        assert take(without, 0, 2).snapshot is not None


def test_states_of_processes_become_one() -> None:
    counts = [2, 4]
    states = []
    for groups, n in zip([GROUPS[:1], GROUPS[1:]], counts, strict=True):
        arrays, state = pack(groups)
        states.append(({**arrays, "returns": np.ones(n), "lengths": np.arange(n)}, state))
    arrays, state = merge(states)
    assert arrays["returns"].shape == (6,) and arrays["lengths"].tolist() == [0, 1, 0, 1, 2, 3]
    numbers = [int(n) for rows in unpack(arrays, state) for n in rows.observations[:, 0]]
    assert numbers == list(range(6))
