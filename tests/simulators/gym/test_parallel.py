"""Environments in worker processes do what they would do in this one, and fail as they would."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from tests.support import running
from tests.support.odd_envs import Odd
from tests.support.running import BATCH, finish, result, start
from trpo_cli.config import EnvConfig
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.simulators.gym.parallel import ParallelSimulator, check_elsewhere
from trpo_cli.simulators.make import make_simulator

ENVS = 5
SEEDS = list(range(ENVS))
FAULTY = "tests.support.faulty_envs:Faulty/Faulty-v0"
WRAPPED: dict[str, Any] = {
    "wrappers": [{"FrameStackObservation": {"stack_size": 3}}, "NormalizeReward"]
}
CASES = [("CartPole-v1", {}), ("Pendulum-v1", {}), ("CartPole-v1", WRAPPED)]


def made(env_id: str, workers: int, **settings: Any) -> Any:
    first = settings.pop("first", 0)
    return make_simulator(EnvConfig(env_id, workers=workers, **settings), ENVS, 1, first)


def rollout(simulator: Any, steps: int, seed: int = 0, part: bool = True) -> list[Any]:
    """All that a rollout of random actions gives. part: every third step, some stand still."""
    generator, space, seen = np.random.default_rng(seed), simulator.action_space, []
    for t in range(steps):
        if isinstance(space, gymnasium.spaces.Discrete):
            actions: Any = generator.integers(space.n, size=ENVS)
        else:
            actions = generator.uniform(-1, 1, (ENVS, *space.shape)).astype(space.dtype)
        ids = np.array([0, 3]) if part and t % 3 == 2 else None
        step = simulator.step(actions, ids)
        moved = slice(None) if ids is None else ids
        seen += [step.observations.copy(), step.rewards[moved].copy(), step.ended.copy()]
        seen += [step.terminated[moved].copy(), step.truncated[moved].copy()]
        seen.append(step.final_observations.copy())
    return seen


def same(ours: list[Any], theirs: list[Any]) -> bool:
    return all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("workers", [1, 2, 9])
@pytest.mark.parametrize(("env_id", "settings"), CASES)
def test_the_same_to_the_bit(env_id: str, settings: dict[str, Any], workers: int) -> None:
    """With unequal shares as well, snapshots both ways, and some environments standing still."""
    here, there = made(env_id, 0, **settings), made(env_id, workers, **settings)
    try:
        assert isinstance(there, ParallelSimulator)
        for name in ("observation_space", "action_space", "action_start", "max_episode_steps"):
            assert getattr(here, name) == getattr(there, name)
        assert same([here.reset(seed=SEEDS)], [there.reset(seed=SEEDS)])
        assert same(rollout(here, 60, part=False), rollout(there, 60, part=False))
        assert same([here.reset([3, 1])], [there.reset([3, 1])])
        assert here.why_not_restorable == there.why_not_restorable == ""
        ours, theirs = here.snapshot([4, 0, 2]), there.snapshot([4, 0, 2])
        assert ours.items == theirs.items and ours.arrays.keys() == theirs.arrays.keys()
        assert same([*ours.arrays.values()], [theirs.arrays[name] for name in ours.arrays])
        expected = rollout(here, 20, 1, part=False)
        rollout(there, 7, 2, part=False)
        here.restore(theirs, [4, 0, 2])
        there.restore(ours, [4, 0, 2])
        for k in (4, 0, 2):
            assert here._observations[k].tobytes() == there._arrays["observations"][k].tobytes()
        here.reset([1, 3], seed=[7, 8])
        there.reset([1, 3], seed=[7, 8])
        assert same(again := rollout(here, 20, 1, part=False), rollout(there, 20, 1, part=False))
        assert all(
            a[[0, 2, 4]].tobytes() == b[[0, 2, 4]].tobytes()
            for a, b in zip(expected[::6], again[::6], strict=True)
        )
        # What stands still has no action of its own, so that no replay comes after this.
        assert same(rollout(here, 30), rollout(there, 30))
        assert [len(part) for part in there._team.parts] == {1: [5], 2: [2, 3], 9: [1] * 5}[workers]
    finally:
        here.close()
        there.close()


@pytest.mark.parametrize("kind", ["raise", "leave", "reset"])
def test_errors_are_told_as_they_are_here(kind: str) -> None:
    """The same words and facts, whichever process it was, and where in the environment."""
    told = []
    for workers in (0, 2):
        simulator = made(FAULTY, workers, kwargs={"kind": kind, "at": 10}, first=30)
        with pytest.raises(RunFailed) as caught:
            simulator.reset(seed=SEEDS)
            rollout(simulator, 20, part=False)
        told.append((str(caught.value), caught.value.facts))
        simulator.close()
    assert told[0] == told[1] and "environment 30 " in told[0][0]
    assert "faulty_envs.py" in caught.value.__notes__[0]


def test_a_killed_worker_ends_the_run_with_a_message() -> None:
    simulator = made("CartPole-v1", 2)
    simulator.reset(seed=SEEDS)
    os.kill(simulator._team.workers[1]._process.pid, signal.SIGKILL)
    with pytest.raises(
        RunFailed, match=r"CartPole-v1, environments 2 to 4: .* killed by signal 9 \(SIGKILL\)"
    ):
        rollout(simulator, 2)
    assert all(worker._process.poll() is not None for worker in simulator._team.workers)
    with pytest.raises(RunFailed, match="is closed"):
        simulator.reset()


class Local(gymnasium.Env[Any, Any]):
    """Of a module that looks like a script."""


Local.__module__ = "__main__"


def test_refusals() -> None:
    for env_id in ("Hopper-v4", "ALE/Pong-v5"):
        with pytest.raises(UserError, match=r"env\.workers=2 is for .* backend of its own"):
            made(env_id, 2)
    simulator = made("CartPole-v1", 2)
    with pytest.raises(UserError, match=r"env\.workers=0 keeps them in this process"):
        simulator.snapshot(portable=False)
    simulator.close()
    entries: list[Any] = [Local, lambda **_: Odd()]
    for entry in entries:
        with pytest.raises(UserError, match=r"env\.workers=2: other processes cannot make"):
            check_elsewhere(EnvConfig("Mine-v0", workers=2), EnvSpec("Mine-v0", entry))


@pytest.mark.slow
def test_a_run_with_workers_is_the_same_run(tmp_path: Path) -> None:
    """Also when it is interrupted with two, and goes on with none."""
    settings = running.settings("ppo", "CartPole-v1", **{"algo.schedule": "constant"})
    code, _, err = finish(start(*settings, "hydra.run.dir=a", cwd=tmp_path))
    assert (code, err) == (0, "")
    cut = [word for word in settings if not word.startswith("total_steps")]
    cut += [f"total_steps={4 * BATCH}", "env.workers=2"]
    code, out, err = finish(start(*cut, "hydra.run.dir=b", cwd=tmp_path))
    assert (code, err) == (0, "") and "worker process steps 2 of the environments" in out
    assert result(tmp_path / "b")["metrics"] == result(tmp_path / "a")["metrics"][:4]
    more = [f"total_steps={8 * BATCH}", "env.workers=0"]
    code, _, err = finish(start("resume=b", *more, cwd=tmp_path))
    assert (code, err) == (0, "")
    assert result(tmp_path / "b")["metrics"] == result(tmp_path / "a")["metrics"]
