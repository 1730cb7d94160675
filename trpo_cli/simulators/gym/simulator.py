"""N environments of any registered kind through Gymnasium, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from trpo_cli.errors import FOREIGN, RunFailed, UserError
from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.gym import wrapper_state
from trpo_cli.simulators.gym.kept import Kept, go_back, keep, reseed
from trpo_cli.simulators.gym.replay import (
    ActionLog,
    Origin,
    begin,
    begin_again,
    encode,
    generator_state,
)


class Mismatch(Exception):
    """A replay did not come to the moment of the snapshot; the text says what differs."""


class GymnasiumSimulator:
    """The `Simulator` protocol over a list of Gymnasium environments.

    The observations are stored in the dtype of the environment's Box. Discrete actions count from
    0 here, whatever the environment's own `start` is: `action_space` says so too.

    An environment is restored by replaying its current episode, which takes as long as the
    episode took and needs its actions to be kept; see `replay`. Within this process there are
    quicker ways; see `kept`.

    first: the number by which errors name the first of the environments.
    why_not_exact: tries out whether environments of this kind come back exactly by "replay",
        "copy" or "state", and gives the reason if not. Called when an answer is first needed.
    """

    backend = "gymnasium"
    frame_stack = 1
    failed_simulations = 0

    def __init__(
        self,
        envs: Sequence[gymnasium.Env[Any, Any]],
        env_id: str,
        max_episode_steps: int | None,
        why_not_exact: Callable[[str], str],
        first: int = 0,
        remarks: Sequence[str] = (),
    ) -> None:
        self.num_envs, self._first = len(envs), first
        self._envs = list(envs)
        self._id = env_id
        space = envs[0].observation_space
        assert isinstance(space, spaces.Box)
        self.observation_space: spaces.Box = space
        self.action_space, self._convert, dtype = counted_actions(envs[0].action_space)
        self.action_start: int | np.ndarray = getattr(envs[0].action_space, "start", 0)
        self.max_episode_steps = max_episode_steps
        self._observations = np.zeros((self.num_envs, *space.shape), dtype=space.dtype)
        self._steps = 0
        self._why_not_exact = why_not_exact
        self._origins: list[Origin | None] = [None] * self.num_envs
        self._log = ActionLog(self.num_envs, self.action_space.shape or (), dtype)
        self._returns = np.zeros(self.num_envs)
        self._new = [wrapper_state.save(env) for env in envs]
        self.remarks = remarks

    @cached_property
    def why_not_restorable(self) -> str:
        return self._why_not_exact("replay")

    @property
    def why_not_branchable(self) -> str:
        return self._way[1]

    @cached_property
    def _way(self) -> tuple[str, str]:
        """The first of the quicker ways that is exact and "", or "" and why none is."""
        reasons = []
        for way in ("copy", "state"):
            reason = self._why_not_exact(way)
            if not reason:
                return way, ""
            reasons.append(reason)
        return "", "; ".join(reasons)

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = range(self.num_envs) if ids is None else ids
        seeds: Sequence[int | None] = [None] * len(chosen) if seed is None else seed
        for i, value in zip(chosen, seeds, strict=True):
            self._reset(i, None if value is None else int(value))
        return self._observations

    def _reset(self, i: int, seed: int | None) -> None:
        try:
            observation, self._origins[i] = begin(
                self._envs[i], seed, self._origins[i], self._new[i]
            )
            self._observations[i] = self._shaped(observation)
        except FOREIGN as error:
            raise self._failed(i, "reset", error) from error
        self._log.restart(i)
        self._returns[i] = 0.0

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=bool)
        truncated = np.zeros(self.num_envs, dtype=bool)
        self._steps += 1
        taken = self._log.append(actions)
        for i in range(self.num_envs) if ids is None else ids.tolist():
            try:
                result = self._envs[i].step(self._convert(taken[i]))
                observation, rewards[i], terminated[i], truncated[i], _ = result
                self._observations[i] = self._shaped(observation)
            except FOREIGN as error:
                raise self._failed(i, "step", error) from error
        self._returns += rewards
        truncated &= ~terminated
        ended = np.flatnonzero(terminated | truncated)
        final_observations = self._observations[ended]
        for i in ended.tolist():
            self._reset(i, None)
        return Step(self._observations, rewards, terminated, truncated, ended, final_observations)

    def _shaped(self, observation: Any) -> Any:
        """Refuse what numpy would silently stretch to the observation's shape."""
        if np.shape(observation) != self.observation_space.shape:
            raise ValueError(
                f"the observation has shape {np.shape(observation)}, its space says "
                f"{self.observation_space.shape}"
            )
        return observation

    def _failed(self, i: int, call: str, error: BaseException) -> RunFailed:
        words = " ".join(str(error).split()).rstrip(".")
        number = self._first + i
        return RunFailed(
            f"env={self._id}: environment {number} raised in {call}() at step {self._steps} of "
            f"this simulator: {type(error).__name__}: {words}.",
            facts={"what": f"{call}()", "environment": number, "simulator_step": self._steps},
        )

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs).tolist()
        if not portable:
            way, reason = self._way
            if reason:
                raise UserError(f"env={self._id} cannot be branched: {reason}.")
            kept: list[Any] = [keep(self._envs[i], way) for i in chosen]
            return Snapshot({"observations": self._observations[chosen]}, kept)
        if self.why_not_restorable:
            raise UserError(f"env={self._id} cannot be restored: {self.why_not_restorable}.")
        episodes = [self._log.episode(i) for i in chosen]
        elapsed = np.array([len(taken) for taken in episodes], dtype=np.int64)
        first = self._log.episode(0)
        longest = int(elapsed.max(initial=0))
        actions = np.zeros((len(chosen), longest, *first.shape[1:]), first.dtype)
        items = []
        for row, i, taken in zip(actions, chosen, episodes, strict=True):
            row[: len(taken)] = taken
            origin = self._origins[i]
            if origin is None:
                raise ValueError(f"environment {i} has not been reset")
            after = encode(generator_state(self._envs[i]))
            items.append({**origin.as_json(), "after": after})
        arrays = {
            "actions": actions,
            "elapsed": elapsed,
            "observations": self._observations[chosen],
            "returns": self._returns[chosen],
        }
        return Snapshot(arrays, items)

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        """Raises `UserError` when an environment does not come back to exactly the moment of the
        snapshot; the environments `ids` are then anywhere, and have to be reset."""
        chosen = as_ids(ids, self.num_envs, snapshot).tolist()
        for row, i in enumerate(chosen):
            item = snapshot.items[row]
            if isinstance(item, Kept):
                self._envs[i] = go_back(self._envs[i], item)
                self._observations[i] = snapshot.arrays["observations"][row]
                self._origins[i] = None  # from here on there is nothing to replay
                continue
            try:
                self._replay(i, snapshot, row)
            except FOREIGN as error:
                reason = " ".join(str(error).split())
                if not isinstance(error, Mismatch):
                    reason = f"the replay raised {type(error).__name__}: {reason}"
                raise UserError(
                    f"env={self._id}: environment {self._first + i} could not be brought "
                    f"back to where it was: {reason}. Either the environment depends on more than "
                    "its np_random and its actions, or it is not the one that the snapshot is of."
                ) from error
        return self._observations

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        for i, seed in zip(ids, seeds, strict=True):
            reseed(self._envs[i], int(seed))

    def _replay(self, i: int, snapshot: Snapshot, row: int) -> None:
        """Bring environment i to row `row` of a snapshot; raises `Mismatch`."""
        env, item, arrays = self._envs[i], snapshot.items[row], snapshot.arrays
        actions = arrays["actions"][row, : arrays["elapsed"][row]]
        self._log.put(i, actions)
        origin = self._origins[i] = Origin.from_json(item)
        self._observations[i] = self._shaped(begin_again(env, origin))
        total = np.float64(0.0)
        for taken in self._log.episode(i):
            observation, reward, terminated, truncated, _ = env.step(self._convert(taken))
            self._observations[i] = self._shaped(observation)
            total += np.float64(reward)
            if terminated or truncated:
                raise Mismatch("the episode ended earlier")
        self._returns[i] = total
        if self._observations[i].tobytes() != arrays["observations"][row].tobytes():
            raise Mismatch("the observation is another one")
        if total.tobytes() != np.float64(arrays["returns"][row]).tobytes():
            raise Mismatch("the rewards add up to another sum")
        if encode(generator_state(env)) != item["after"]:
            raise Mismatch("its generator is in another state")

    def close(self) -> None:
        for env in self._envs:
            env.close()


def counted_actions(
    space: spaces.Space[Any],
) -> tuple[spaces.Space[Any], Callable[[np.ndarray], Any], Any]:
    """The action space that counts from 0, the map of one action to the environment's own, and
    the dtype that holds the former.

    Every environment gets an array of its own, so that it may keep or change it.
    """
    if isinstance(space, spaces.Discrete):
        start = space.start
        counted = spaces.Discrete(int(space.n))
        return counted, lambda action: np.int64(action) + start, np.int64
    if isinstance(space, spaces.MultiDiscrete):
        starts, dtype = space.start, space.dtype
        return (
            spaces.MultiDiscrete(space.nvec),
            lambda action: (np.asarray(action) + starts).astype(dtype),
            np.int64,
        )
    if isinstance(space, spaces.MultiBinary):
        return space, lambda action: np.array(action, dtype=np.int8), np.int8
    return space, lambda action: np.array(action, dtype=space.dtype), space.dtype
