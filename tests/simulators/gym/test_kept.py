"""Moments kept in memory: exact for what can be copied, refused with the reason otherwise."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.support import hidden_state_envs  # noqa: F401  (registers them)
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.gym.probe import why_not_exact
from trpo_cli.simulators.make import make_simulator


class Locked(gymnasium.Env[Any, Any]):
    """Cannot be copied, but says and takes its state."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, complete: bool = True) -> None:
        self._complete = complete
        self._lock: Any = (i for i in range(1))  # a generator refuses to be copied

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.speed = self.np_random.normal(), 0.0
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.array([self.place], dtype=np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.speed += 0.1 * (2 * int(action) - 1) + 0.1 * self.np_random.normal()
        self.place += self.speed
        return self._seen(), -float(abs(self.place)), False, False, {}

    def get_state(self) -> Any:
        return [self.place, self.speed] if self._complete else [self.place]

    def set_state(self, state: Any) -> None:
        self.place = state[0]
        if self._complete:
            self.speed = state[1]


register: Any = gymnasium.register
register("Kept/Locked-v0", Locked, max_episode_steps=30)
register("Kept/Forgetful-v0", Locked, max_episode_steps=30, kwargs={"complete": False})
COPIED = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "FrozenLake-v1", "Blackjack-v1"]


@pytest.mark.parametrize("env", [*COPIED, "Hidden/Walk-v0", "Hidden/Layout-v0"])
def test_deep_copies(env: str) -> None:
    def build() -> Any:
        made = gymnasium.make(env)
        if isinstance(made.observation_space, spaces.Box):
            return made
        return gymnasium.wrappers.FlattenObservation(made)

    assert why_not_exact(build, "copy") == ""


def test_get_state_and_set_state_where_copies_fail() -> None:
    simulator: Any = make_simulator(EnvConfig("Kept/Locked-v0"), 1, 1)
    assert simulator.why_not_branchable == ""
    simulator.reset(seed=[0])
    assert simulator.snapshot(portable=False).items[0].whole is None


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ("Kept/Forgetful-v0", "two futures|another future"),
        ("Hidden/GlobalNumpy-v0", "NumPy's global random generator|two futures"),
        ("Hidden/GlobalPython-v0", "Python's global random generator|two futures"),
        ("Hidden/ModuleGenerator-v0", "two futures|another future"),
        ("Hopper-v5", "get_state"),
    ],
)
def test_refused_with_the_reason(env: str, reason: str) -> None:
    reasons = [why_not_exact(lambda: gymnasium.make(env), way) for way in ("copy", "state")]
    assert all(reasons)
    assert any(part in "; ".join(reasons) for part in reason.split("|")), reasons


@pytest.mark.parametrize("env", ["CartPole-v1", "Kept/Locked-v0", "Hopper-v4", "Pendulum-v1"])
def test_one_moment_many_futures(env: str) -> None:
    """One environment's moment goes into several; each then goes its own way, and the same way
    again from the same moment. Reseeding changes what comes from the generator only."""
    source, target = (make_simulator(EnvConfig(env), 2, 1) for _ in range(2))
    source.reset(seed=[1, 2])
    space: Any = source.action_space
    space.seed(0)
    for _ in range(5):
        source.step(np.array([space.sample() for _ in range(2)]))
    moment = source.snapshot([1], portable=False).rows([0, 0])
    pairs = [[space.sample(), space.sample()] for _ in range(12)]

    def future(seeds: tuple[int, int] | None, same: bool) -> list[Any]:
        target.restore(moment)
        if seeds:
            target.reseed([0, 1], seeds)
        seen = []
        for first, second in pairs:
            step = target.step(np.array([first, first if same else second]))
            seen.append((step.observations.copy(), step.rewards.copy()))
        return seen

    for seeds in (None, (7, 7)):
        for observations, rewards in future(seeds, same=True):
            np.testing.assert_array_equal(observations[0], observations[1])
            assert rewards[0] == rewards[1]
    once, again = future(None, same=False), future(None, same=False)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    if env == "Kept/Locked-v0":
        last = future((7, 8), same=True)[-1][0]
        assert last[0] != last[1]


def test_the_source_is_not_disturbed() -> None:
    ours, alone = (make_simulator(EnvConfig("Kept/Locked-v0"), 1, 1) for _ in range(2))
    for simulator in (ours, alone):
        simulator.reset(seed=[3])
        for _ in range(4):
            simulator.step(np.array([1]))
    moment = ours.snapshot(portable=False)
    branch = make_simulator(EnvConfig("Kept/Locked-v0"), 1, 1)
    branch.restore(moment)
    branch.reseed([0], [99])
    for _ in range(10):
        branch.step(np.array([0]))
    for _ in range(10):
        a, b = ours.step(np.array([0])), alone.step(np.array([0]))
        np.testing.assert_array_equal(a.observations, b.observations)


@pytest.mark.parametrize("env", ["CartPole-v1", "HalfCheetah-v4", "Ant-v5"])
def test_only_the_chosen_ones_move(env: str) -> None:
    """Those that stand still have the future they would have had."""
    part, whole = (make_simulator(EnvConfig(env), 3, 1) for _ in range(2))
    for simulator in (part, whole):
        simulator.reset(seed=[1, 2, 3])
    space: Any = part.action_space
    space.seed(0)
    actions = [np.array([space.sample() for _ in range(3)]) for _ in range(8)]
    for action in actions[:3]:
        part.step(action)
        whole.step(action)
    ids = np.array([0, 2])
    for action in actions[3:6]:
        part.step(action, ids)
    part.step(actions[6], np.array([1]))
    whole.step(actions[6])
    a, b = part.step(actions[7], np.array([1])), whole.step(actions[7])
    np.testing.assert_array_equal(a.observations[1], b.observations[1])
    assert a.rewards[1] == b.rewards[1]


def test_kept_moments_are_for_this_process_only() -> None:
    simulator = make_simulator(EnvConfig("CartPole-v1"), 1, 1)
    simulator.reset(seed=[0])
    simulator.restore(simulator.snapshot(portable=False))
    with pytest.raises(ValueError, match="has not been reset"):
        simulator.snapshot()
    refused = make_simulator(EnvConfig("Hidden/GlobalNumpy-v0"), 1, 1)
    with pytest.raises(UserError, match="cannot be branched"):
        refused.snapshot(portable=False)
