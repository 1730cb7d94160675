"""What `trpo_cli.load` and `trpo_cli.read` give."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.compare.read import parse
from trpo_cli.errors import UserError
from trpo_cli.models.acting import Acting
from trpo_cli.runs import chain, checkpoint
from trpo_cli.runs.directory import EVAL, METRICS, require
from trpo_cli.runs.whole import read_whole
from trpo_cli.sweeps.last import only_run

if TYPE_CHECKING:
    from gymnasium import spaces

    from trpo_cli.config import Config
    from trpo_cli.models.policy import Policy

ROWS = {"metrics": METRICS, "eval": EVAL}


@dataclass(frozen=True)
class TrainedPolicy:
    """The policy of a run at one of its checkpoints.

    config: of the run. step: environment steps that it was trained for. observation_space,
    action_space: of its environment, wrapped and preprocessed as in training; Discrete actions
    count from 0 there, and `act` adds `action_start`. policy: what `act` stands on.
    """

    config: Config
    step: int
    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    action_start: int | np.ndarray
    policy: Policy
    _generator: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)
    _acting: list[Acting] = field(default_factory=list, repr=False)  # none, or the one that goes on

    def act(
        self,
        observation: Any,
        deterministic: bool = True,
        generator: np.random.Generator | None = None,
    ) -> Any:
        """The action, as the environment takes it, for one observation or a batch (n, *obs).

        deterministic: the most likely action; False draws one. generator: what draws; None is one
        of this object's own, another in each process. A policy that remembers goes on from what it
        saw in each of the n environments since `reset`.

        Raises ValueError for observations of another shape, and for another n where it remembers.
        """
        from trpo_cli.simulators.base import shows_images

        space = self.observation_space
        images = shows_images(space)
        rows = np.asarray(observation, dtype=np.uint8 if images else np.float32)
        single = rows.shape == space.shape
        rows = rows[None] if single else rows
        if rows.shape[1:] != space.shape:
            raise ValueError(
                f"observations of this policy have shape {space.shape}, or (n, "
                f"{', '.join(map(str, space.shape))}) for n of them; got {np.shape(observation)}"
            )
        noise = None
        if not deterministic:
            noise = self.policy.noise(generator or self._generator, (len(rows),))
        chosen = self._going_on(len(rows)).act(rows, noise)
        actions = self.policy.to_env(chosen).astype(self.action_space.dtype)
        actions = actions + self.action_start if np.any(self.action_start) else actions
        return actions[0] if single else actions

    def reset(self, ids: Sequence[int] | np.ndarray | None = None) -> None:
        """New episodes begin: a policy that remembers forgets what it saw, in all environments, or
        in those of these numbers. Of another policy nothing changes."""
        if ids is None:
            self._acting.clear()
        else:
            for acting in self._acting:
                acting.forget(ids)

    def _going_on(self, n: int) -> Acting:
        """What acts in n environments."""
        if not self._acting or not self.policy.state_size:
            self._acting[:] = [Acting.afresh(self.policy, n)]
        known = len(self._acting[0].states)
        if known != n:
            raise ValueError(
                f"this policy remembers what it saw in {known} environments, and there are {n} "
                "observations; call reset() before episodes begin in others."
            )
        return self._acting[0]


def load_policy(run: str | Path, name: str, trust: bool) -> TrainedPolicy:
    """See `trpo_cli.load`."""
    from trpo_cli.simulators.make import make_simulator
    from trpo_cli.training import evaluation
    from trpo_cli.training.stored import open_run

    config, folder = open_run(only_run(str(run), f"load({str(run)!r})"), name, trust)
    with contextlib.chdir(os.curdir):  # and back: an environment may go elsewhere
        simulator = make_simulator(config.env, num_envs=1, threads=1)
        simulator.close()
    return TrainedPolicy(
        config,
        checkpoint.step_of(folder),
        simulator.observation_space,
        simulator.action_space,
        simulator.action_start,
        evaluation.load_policy(folder, config, simulator),
    )


def read_rows(run: str | Path, rows: str) -> dict[str, np.ndarray]:
    """See `trpo_cli.read`."""
    if rows not in ROWS:
        raise UserError(f"read(..., {rows!r}): there are {' and '.join(map(repr, ROWS))}.")
    folder = require(only_run(str(run), f"read({str(run)!r})"))
    try:
        table = parse(ROWS[rows], read_whole(folder)[1].get(ROWS[rows], b""))
    except ValueError as error:
        raise UserError(f"{folder}: {error}.") from error
    keys = dict.fromkeys(key for row in table for key in row if key != chain.KEY)
    return {key: column([row.get(key) for row in table]) for key in keys}


def column(values: Sequence[Any]) -> np.ndarray:
    """(rows,): bool, int64, float64 with NaN for None, or Python objects."""
    kinds = {type(value) for value in values}
    with contextlib.suppress(OverflowError):  # a number that neither holds
        if kinds in ({bool}, {int}):
            return np.array(values, dtype=np.int64 if kinds == {int} else np.bool_)
        if kinds <= {int, float, type(None)}:
            return np.array(values, dtype=np.float64)
    return np.fromiter(values, dtype=object, count=len(values))
