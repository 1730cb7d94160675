"""Run a simulator next to environments made by Gymnasium, with the same seeds and actions."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np

from trpo_cli.config import EnvConfig
from trpo_cli.simulators.base import Simulator, Snapshot, Step
from trpo_cli.simulators.make import make_simulator

MUJOCO = [
    f"{name}-v{version}"
    for name in (
        "Hopper",
        "Walker2d",
        "HalfCheetah",
        "Swimmer",
        "Ant",
        "Humanoid",
        "HumanoidStandup",
        "Reacher",
        "InvertedPendulum",
        "InvertedDoublePendulum",
    )
    for version in (4, 5)
] + ["Pusher-v5"]


def simulator(
    env_id: str, num_envs: int = 3, threads: int = 1, limit: int | None = None, **kwargs: Any
) -> Simulator:
    config = EnvConfig(id=env_id, kwargs=kwargs, max_episode_steps=limit)
    return make_simulator(config, num_envs, threads)


def reference(env_id: str, num_envs: int = 3, limit: int | None = None, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [gymnasium.make(env_id, max_episode_steps=limit, **kwargs) for _ in range(num_envs)]


def random_actions(sim: Simulator, steps: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    """(steps, N, *act): over the whole of a box and beyond it, or any of the choices."""
    generator = np.random.default_rng(seed)
    space: Any = sim.action_space
    if isinstance(space, gymnasium.spaces.Box):
        shape = (steps, sim.num_envs, *space.shape)
        return (generator.uniform(-1.2, 1.2, shape) * space.high).astype(dtype)
    space.seed(seed)
    return np.array([[space.sample() for _ in range(sim.num_envs)] for _ in range(steps)])


def assert_equal_steps(sim: Simulator, envs: Any, actions: Iterable[Any]) -> tuple[int, int]:
    """Every number of every step is equal; returns how many episodes terminated and truncated.

    Gymnasium's environments are reset, without a seed, where an episode ended.
    """
    terminations = truncations = 0
    for action in actions:
        step = sim.step(action)
        assert step.rewards.shape == (sim.num_envs,)
        finals = iter(step.final_observations)
        ended = []
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, _ = env.step(own(env, action[i]))
            assert reward == step.rewards[i]
            assert terminated == step.terminated[i]
            assert (truncated and not terminated) == step.truncated[i]
            if terminated or truncated:
                ended.append(i)
                np.testing.assert_array_equal(next(finals), observation)
                observation, _ = env.reset()
                terminations += bool(terminated)
                truncations += not terminated
            np.testing.assert_array_equal(step.observations[i], observation)
        assert step.ended.tolist() == ended
        assert len(step.final_observations) == len(ended)
    return terminations, truncations


def own(env: Any, action: Any) -> Any:
    """The environment's own action: discrete ones count from its `start`."""
    space = env.action_space
    if isinstance(space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete)):
        return action + space.start
    return action


def assert_equal_resets(sim: Simulator, envs: Any, seed: int = 5) -> None:
    seeds = [seed + 7 * i for i in range(sim.num_envs)]
    observations = sim.reset(seed=seeds)
    for i, env in enumerate(envs):
        np.testing.assert_array_equal(observations[i], env.reset(seed=seeds[i])[0])


def copied(step: Step) -> list[np.ndarray]:
    """Everything a step returned, safe from the next call."""
    return [np.array(value) for value in vars(step).values()]


def future(sim: Simulator, actions: Any, ids: list[int]) -> list[Any]:
    """All that the environments `ids` return for actions (T, len(ids), *act), as bytes."""
    rows = []
    for action in actions:
        full = np.zeros((sim.num_envs, *action.shape[1:]), action.dtype)
        full[ids] = action
        step = sim.step(full)
        finals = dict(zip(step.ended.tolist(), step.final_observations, strict=True))
        arrays = [np.array(a[ids]) for a in copied(step)[:4]]
        arrays += [finals[i] for i in ids if i in finals]
        rows.append([a.tobytes() for a in arrays])
    return rows


def stored(snapshot: Snapshot, folder: Any) -> Snapshot:
    """As a file gives it back: arrays without pickle, and JSON."""
    arrays: Any = snapshot.arrays
    np.savez(folder / "arrays.npz", **arrays)
    with np.load(folder / "arrays.npz", allow_pickle=False) as read:
        return Snapshot(dict(read), json.loads(json.dumps(snapshot.items, allow_nan=False)))
