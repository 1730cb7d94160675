"""N Gymnasium environments in worker processes, with shared memory between them and this one."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import Env, spaces
from gymnasium.envs.registration import EnvSpec

from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.base import Snapshot, Step, as_ids, together
from trpo_cli.simulators.gym.simulator import counted_actions
from trpo_cli.simulators.workers import memory
from trpo_cli.simulators.workers.team import Team

NOT_HERE = (
    "environments in worker processes come back by a replay only, and that takes too long to "
    "branch off often; env.workers=0 keeps them in this process"
)


@dataclass(frozen=True)
class Layout:
    """The arrays that this process and its workers share: of N environments' observations
    (N, *observation) and actions (N, *action)."""

    observation: tuple[tuple[int, ...], np.dtype]
    action: tuple[tuple[int, ...], np.dtype]

    def fields(self, num_envs: int) -> list[memory.Field]:
        shape, dtype = self.observation
        act, of_act = self.action
        return [
            ("observations", (num_envs, *shape), dtype),
            ("final_observations", (num_envs, *shape), dtype),
            ("actions", (num_envs, *act), of_act),
            ("rewards", (num_envs,), np.dtype(np.float64)),
            *(
                (name, (num_envs,), np.dtype(bool))
                for name in ("moving", "terminated", "truncated")
            ),
        ]


class ParallelSimulator:
    """The `Simulator` protocol over `GymnasiumSimulator`s in worker processes.

    An environment does in a worker what it would do here, as it depends on its own generator and
    actions only: the results do not depend on the number of workers. One that draws from a global
    random generator depends on its neighbours in a process, and may differ.

    workers: how many processes, at most one per environment. template: one of the environments,
    for its spaces; it is closed. why_not_exact, first: see `GymnasiumSimulator`.

    Raises `UserError` for an environment that another process cannot make.
    """

    backend = "gymnasium"
    frame_stack = 1
    failed_simulations = 0
    why_not_branchable = NOT_HERE

    def __init__(
        self,
        env: EnvConfig,
        spec: EnvSpec,
        template: Env[Any, Any],
        num_envs: int,
        workers: int,
        max_episode_steps: int | None,
        why_not_exact: Callable[[str], str],
        first: int = 0,
        remarks: Sequence[str] = (),
    ) -> None:
        check_elsewhere(env, spec)
        self.num_envs, self._id, self._why_not_exact = num_envs, env.id, why_not_exact
        space = template.observation_space
        assert isinstance(space, spaces.Box)
        self.observation_space: spaces.Box = space
        self.action_space, _, dtype = counted_actions(template.action_space)
        self.action_start: int | np.ndarray = getattr(template.action_space, "start", 0)
        template.close()
        self.max_episode_steps = max_episode_steps
        layout = Layout(
            (space.shape, np.dtype(space.dtype)), (self.action_space.shape or (), np.dtype(dtype))
        )
        fields = layout.fields(num_envs)
        fd = memory.anonymous_file(fields)
        self._arrays = memory.map_arrays(fd, fields)
        self._team = Team(
            "trpo_cli.simulators.worker",
            env.id,
            fd,
            num_envs,
            workers,
            first,
            [env, spec, layout, first],
        )
        processes = len(self._team.parts)
        what = "a worker process steps" if processes == 1 else f"{processes} worker processes step"
        self.remarks: Sequence[str] = [*remarks, f"{what} {num_envs} of the environments"]

    @cached_property
    def why_not_restorable(self) -> str:
        return self._why_not_exact("replay")

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs).tolist()
        self._team.reset(chosen, seed)
        return self._arrays["observations"]

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        arrays = self._arrays
        if np.shape(actions) != arrays["actions"].shape:
            raise ValueError(f"actions {np.shape(actions)}, expected {arrays['actions'].shape}")
        arrays["actions"][...] = actions
        arrays["moving"][:] = ids is None
        if ids is not None:
            arrays["moving"][ids] = True
        self._team.step()
        ended = np.flatnonzero(arrays["terminated"] | arrays["truncated"])
        return Step(
            arrays["observations"],
            arrays["rewards"],
            arrays["terminated"],
            arrays["truncated"],
            ended,
            arrays["final_observations"][ended],
        )

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs).tolist()
        if not portable:
            raise UserError(f"env={self._id} cannot be branched: {NOT_HERE}.")
        if self.why_not_restorable:
            raise UserError(f"env={self._id} cannot be restored: {self.why_not_restorable}.")
        parts = self._team.ask("snapshot", dict.fromkeys(chosen))
        numbers = [i for part in self._team.parts for i in chosen if i in part]
        return together(parts).rows([numbers.index(i) for i in chosen])

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        chosen = as_ids(ids, self.num_envs).tolist()
        self._team.ask("reseed", dict(zip(chosen, map(int, seeds), strict=True)))

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs, snapshot).tolist()
        rows = {i: snapshot.rows([row]) for row, i in enumerate(chosen)}
        self._team.ask("restore", rows)
        return self._arrays["observations"]

    def close(self) -> None:
        self._team.close()


def check_elsewhere(env: EnvConfig, spec: EnvSpec) -> None:
    """Raise `UserError` for an environment that another process cannot make."""
    entry = spec.entry_point
    try:
        pickle.dumps((env, spec))
        local = getattr(entry, "__module__", "") == "__main__"
    except Exception:
        local = True
    if local or str(entry).startswith("__main__:"):
        raise UserError(
            f"env.workers={env.workers}: other processes cannot make env={env.id}, whose class is "
            "in no module that they could import. Move it into a file of its own, or leave "
            "env.workers out."
        )
