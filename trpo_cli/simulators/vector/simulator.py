"""N environments in one native vector environment of Gymnasium's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from trpo_cli.errors import FOREIGN, RunFailed, UserError
from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.gym.simulator import counted_actions
from trpo_cli.simulators.vector.state import Rows, VectorState

Build = Callable[[int], VectorEnv[Any, Any, Any]]
TOGETHER = (
    "its environments share one random generator in a vector environment, so that none of them "
    "comes back alone; env.vector=auto steps each by itself"
)
NOBODY = np.arange(0)


class Starts:
    """First moments of episodes: of a second vector environment, which is reset and never stepped.

    A vector environment that resets what ended within its next step would spend that step on it.
    Here the state of an ended environment is replaced by one of these instead, so that every step
    is a step of every environment.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], axes: Mapping[str, int]) -> None:
        self.env, self.state = env, VectorState(env, axes)
        self.fill()

    def fill(self, seed: int | None = None) -> None:
        """As many new ones as there are environments. used: how many of them have been taken."""
        observations, _ = self.env.reset(seed=seed)
        self.observations, self.rows, self.used = np.array(observations), self.state.rows(), 0

    def take(self, count: int) -> tuple[Rows, np.ndarray]:
        """The rows of the next `count` first moments, and what they show."""
        if self.used == self.env.num_envs:
            self.fill()
        some = slice(self.used, self.used + count)
        rows, seen = {name: row[some] for name, row in self.rows.items()}, self.observations[some]
        self.used += len(seen)
        if len(seen) == count:
            return rows, seen
        more, others = self.take(count - len(seen))
        joined = {name: np.concatenate([row, more[name]]) for name, row in rows.items()}
        return joined, np.concatenate([seen, others])


class VectorSimulator:
    """The `Simulator` protocol over a vector environment.

    The environments share a generator: one of them has no seed and no future of its own. A
    snapshot is of all of them, into as many.

    build: makes one of so many environments. axes: where it keeps the state of each environment,
    see `state.axes_of`; not needed where it resets what ended in the same step.
    why_not_restorable: why snapshots are not exact, "" if they are.
    """

    backend = "gymnasium"
    frame_stack = 1
    failed_simulations = 0
    why_not_branchable = TOGETHER

    def __init__(
        self,
        build: Build,
        axes: Mapping[str, int],
        num_envs: int,
        env_id: str,
        max_episode_steps: int | None,
        why_not_restorable: str = "",
    ) -> None:
        self.num_envs, self._id = num_envs, env_id
        self._env = build(num_envs)
        space, actions = self._env.single_observation_space, self._env.single_action_space
        assert isinstance(space, spaces.Box)
        self.observation_space: spaces.Box = space
        self.action_space, self._convert, _ = counted_actions(actions)
        self.action_start: int | np.ndarray = getattr(actions, "start", 0)
        self.max_episode_steps, self.why_not_restorable = max_episode_steps, why_not_restorable
        self._state = VectorState(self._env, axes)
        mode = self._env.metadata.get("autoreset_mode")
        self._starts = None if mode == AutoresetMode.SAME_STEP else Starts(build(num_envs), axes)
        self._observations = np.zeros((num_envs, *space.shape), dtype=space.dtype)
        self._steps = 0
        name = type(self._env.unwrapped).__name__
        self.remarks: Sequence[str] = [
            f"{name} steps all environments, on one random generator: other episodes than with "
            "env.vector=serial; evaluations run ordinary environments"
        ]
        self.reset()

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        """Raises ValueError for seeds of some of the environments only."""
        chosen = as_ids(ids, self.num_envs)
        if len(chosen) < self.num_envs:
            if seed is not None or self._starts is None:
                raise ValueError("a vector environment is seeded, or reset by itself, as a whole")
            self._begin(chosen, self._starts)
            return self._observations
        first: int | None = None
        if seed is not None:
            # Its one generator, and that of the first moments, follow from all the seeds.
            words = np.random.SeedSequence([int(value) for value in seed]).generate_state(2)
            first = int(words[0])
            if self._starts is not None:
                self._starts.fill(int(words[1]))
        try:
            self._observations = self._shaped(self._env.reset(seed=first)[0])
        except FOREIGN as error:
            raise self._failed("reset", error) from error
        return self._observations

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        before, self._steps = self._observations, self._steps + 1
        still, kept = NOBODY, Rows()
        if ids is not None:
            still = np.setdiff1d(np.arange(self.num_envs), ids)
            kept = self._state.rows(still)
        try:
            seen, paid, terminated, truncated, infos = self._env.step(self._convert(actions))
            # Copied: an environment may go on writing into what it returned.
            self._observations = self._shaped(seen)
            rewards = np.array(paid, dtype=np.float64)
            terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        except FOREIGN as error:
            raise self._failed("step", error) from error
        truncated &= ~terminated
        if still.size:
            self._state.put(still, kept)
            self._observations[still] = before[still]
            rewards[still], terminated[still], truncated[still] = 0.0, False, False
        ended = np.flatnonzero(terminated | truncated)
        if self._starts is None:
            finals = [np.asarray(infos["final_obs"][i]) for i in ended]
            final = np.array(finals, self._observations.dtype).reshape(-1, *before.shape[1:])
        else:
            final = self._observations[ended]
            self._begin(ended, self._starts)
        return Step(self._observations, rewards, terminated, truncated, ended, final)

    def _begin(self, ids: np.ndarray, starts: Starts) -> None:
        if ids.size:
            try:
                rows, self._observations[ids] = starts.take(ids.size)
            except FOREIGN as error:
                raise self._failed("reset", error) from error
            self._state.put(ids, rows)

    def _shaped(self, observations: Any) -> np.ndarray:
        """A copy (N, *obs)."""
        expected = (self.num_envs, *self.observation_space.shape)
        if np.shape(observations) != expected:
            raise ValueError(
                f"its observations have shape {np.shape(observations)}, not {expected}"
            )
        return np.array(observations, dtype=self.observation_space.dtype)

    def _failed(self, call: str, error: BaseException) -> RunFailed:
        words = " ".join(str(error).split()).rstrip(".")
        return RunFailed(
            f"env={self._id}: the vector environment raised in {call}() at step {self._steps} of "
            f"this simulator: {type(error).__name__}: {words}.",
            facts={"what": f"{call}()", "simulator_step": self._steps},
        )

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        if not portable:
            raise UserError(f"env={self._id} cannot be branched: {TOGETHER}.")
        if self.why_not_restorable:
            raise UserError(f"env={self._id} cannot be restored: {self.why_not_restorable}.")
        self._check_all(as_ids(ids, self.num_envs))
        arrays = {f"state/{name}": rows for name, rows in self._state.rows().items()}
        arrays["observations"] = self._observations.copy()
        items: list[Any] = [{"row": i, "of": self.num_envs} for i in range(self.num_envs)]
        items[0]["shared"] = self._state.shared()
        if (starts := self._starts) is not None:
            arrays |= {f"starts/{name}": rows for name, rows in starts.rows.items()}
            arrays["start_observations"] = starts.observations
            items[0]["starts"] = {"shared": starts.state.shared(), "used": starts.used}
        return Snapshot(arrays, items)

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        """Raises `UserError` for anything but all environments, in their order."""
        self._check_all(as_ids(ids, self.num_envs, snapshot))
        if [(item["row"], item["of"]) for item in snapshot.items] != [
            (i, self.num_envs) for i in range(self.num_envs)
        ]:
            raise UserError(f"env={self._id} cannot be restored one by one: {TOGETHER}.")
        arrays, shared = snapshot.arrays, snapshot.items[0]
        everyone = np.arange(self.num_envs)
        self._state.put(everyone, self._state.of(arrays, "state"))
        self._state.put_shared(shared["shared"])
        if self._starts is not None:
            self._starts.rows = self._starts.state.of(arrays, "starts")
            self._starts.observations = arrays["start_observations"]
            self._starts.state.put_shared(shared["starts"]["shared"])
            self._starts.used = shared["starts"]["used"]
        self._observations = arrays["observations"].copy()
        return self._observations

    def _check_all(self, ids: np.ndarray) -> None:
        if ids.tolist() != list(range(self.num_envs)):
            raise UserError(f"env={self._id} cannot be restored one by one: {TOGETHER}.")

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        raise UserError(f"env={self._id} cannot be branched: {TOGETHER}.")

    def close(self) -> None:
        self._env.close()
        if self._starts is not None:
            self._starts.env.close()
