"""Samples of earlier iterations: their weights, their place in the objective, what is kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.support import running
from tests.support.small import BOX, estimate, make_policy
from trpo_cli.algos.objectives import objective_of
from trpo_cli.data.records import Batch, Trajectories
from trpo_cli.estimators.gae import GAEConfig
from trpo_cli.estimators.reuse import MOST, Earlier
from trpo_cli.maths.arrays import as_numpy
from trpo_cli.training.trainer import Training
from trpo_cli.training.trainers import BatchTrainer

STEPS, ENVS = 6, 3
CONFIG = GAEConfig(gae_lambda=0.9, standardize=True)


class FirstFeature:
    """V(s) = `factor` times the first feature."""

    factor = 1.0

    def to_device(self, inputs: Any) -> Any:
        return inputs

    def predict(self, inputs: Any) -> Any:
        return self.factor * inputs[:, 0]


def drawn(policy: Any, seed: int) -> Trajectories:
    """Steps in random states with actions of the policy; one episode ends."""
    generator = np.random.default_rng(seed)
    observations = generator.normal(size=(STEPS, ENVS, 3)).astype(np.float32)
    inputs = policy.inputs(observations.reshape(-1, 3))
    now: Any = policy.distribution(inputs)
    mean, log_std = as_numpy(now.mean), as_numpy(now.log_std)
    actions = mean + np.exp(log_std) * generator.normal(size=mean.shape)
    terminated = np.zeros((STEPS, ENVS), dtype=bool)
    terminated[2, 1] = True
    return Trajectories(
        observations=observations,
        actions=actions.astype(np.float32).reshape(STEPS, ENVS, -1),
        rewards=generator.normal(size=(STEPS, ENVS)).astype(np.float32),
        terminated=terminated,
        truncated=np.zeros_like(terminated),
        ends=np.array([[2, 1]]),
        final_observations=generator.normal(size=(1, 3)).astype(np.float32),
        last_observations=generator.normal(size=(ENVS, 3)).astype(np.float32),
        episode_returns=[1.0],
        episode_lengths=[3],
    )


class History:
    """Iterations of a policy that moves at random between them."""

    def __init__(self, count: int, move: float, torch_network: bool = False) -> None:
        self.policy = make_policy(BOX, dtype=np.float32, torch_network=torch_network)
        self.value: Any = FirstFeature()
        self.earlier, self._move = Earlier(count), move
        self._generator = np.random.default_rng(7)

    def estimated(self, trajectories: Trajectories) -> Batch:
        return estimate(trajectories, self.policy, self.value, 0.9, CONFIG)

    def iterate(self, seed: int) -> tuple[Trajectories, Batch, dict[str, float | None]]:
        trajectories = drawn(self.policy, seed)
        acted = self.earlier.acted(self.policy, trajectories)
        batch = self.estimated(trajectories)
        wide, said = self.earlier.join(self.policy, batch, trajectories, acted, self.estimated)
        return trajectories, wide, said

    def step(self) -> None:
        parameters = self.policy.parameters
        noise = self._move * self._generator.normal(size=len(parameters))
        parameters += self.policy.to_device(noise.astype(np.float32))
        self.value.factor += 0.5


def log_densities(policy: Any, trajectories: Trajectories) -> np.ndarray:
    """log N(a; mean(s), sigma^2) sample by sample, from its definition."""
    found = []
    observations: Any = trajectories.flat_observations
    actions = trajectories.actions.reshape(len(observations), -1)
    for observation, action in zip(observations, actions, strict=True):
        now = policy.distribution(policy.inputs(observation[None]))
        std = np.exp(np.asarray(now.log_std, dtype=np.float64))
        z = (action - np.asarray(now.mean, dtype=np.float64)[0]) / std
        constant = np.log(std).sum() + 0.5 * len(z) * math.log(2 * math.pi)
        found.append(float(-0.5 * (z @ z) - constant))
    return np.array(found)


class TestJoin:
    @pytest.mark.parametrize("move", [0.02, 0.4])
    def test_weights_and_advantages_by_their_definition(self, move: float) -> None:
        """w = min(pi_k / pi_b, 2) sample by sample; A by V as it is now, standardised by itself.
        The larger move takes some weights to their bound."""
        history = History(2, move)
        kept: list[tuple[Trajectories, np.ndarray]] = []
        cut = 0
        for seed in range(4):
            trajectories, wide, said = history.iterate(seed)
            logs = log_densities(history.policy, trajectories)
            expected, weights = [history.estimated(trajectories).advantages], [np.empty(0)]
            for old, before in reversed(kept[-2:]):
                now = log_densities(history.policy, old)
                weights.append(np.minimum(np.exp(now - before), MOST))
                expected.append(weights[-1] * history.estimated(old).advantages)
            kept.append((trajectories, logs))
            # float32 densities of a few dozen nats: relative errors of some 1e-5.
            np.testing.assert_allclose(
                wide.advantages, np.concatenate(expected), rtol=2e-4, atol=1e-6
            )
            assert len(wide.observations) == len(wide.actions) == 18 * min(seed + 1, 3)
            w = np.concatenate(weights)
            if len(w):
                share = w.sum() ** 2 / (len(w) * (w**2).sum())
                assert said["reuse/effective_share"] == pytest.approx(share, rel=1e-3)
                assert said["reuse/cut"] == pytest.approx((w >= MOST).mean(), abs=1e-9)
                cut += (w >= MOST).sum()
            history.step()
        assert (cut > 0) == (move > 0.1)

    def test_a_policy_that_stands_still_weighs_all_alike(self) -> None:
        history = History(3, 0.0)
        for seed in range(3):
            _, wide, said = history.iterate(seed)
        assert said["reuse/effective_share"] == pytest.approx(1.0, abs=1e-6)
        assert said["reuse/cut"] == 0.0 and len(wide.advantages) == 3 * STEPS * ENVS

    def test_nothing_is_kept_at_first(self) -> None:
        history = History(3, 0.1)
        trajectories, wide, said = history.iterate(0)
        assert said == {"reuse/effective_share": None, "reuse/cut": None}
        np.testing.assert_array_equal(wide.advantages, history.estimated(trajectories).advantages)

    def test_the_objective_is_the_mean_over_all_of_the_ratio_to_the_policy_that_acted(self) -> None:
        """At another theta, mean pi_theta / pi_b A, where no weight is cut."""
        history = History(1, 0.02)
        first, _, _ = history.iterate(0)
        before_first = log_densities(history.policy, first)
        history.step()
        second, wide, _ = history.iterate(1)
        before = np.concatenate([log_densities(history.policy, second), before_first])
        objective = objective_of(history.policy, history.policy.linearize(wide.observations), wide)
        batches = [history.estimated(t).advantages for t in (second, first)]
        history.policy.parameters += 0.01
        now = np.concatenate([log_densities(history.policy, t) for t in (second, first)])
        expected = np.mean(np.exp(now - before) * np.concatenate(batches))
        value = objective.at(history.policy.distribution(wide.observations))
        assert value == pytest.approx(expected, rel=1e-4)

    def test_on_tensors(self) -> None:
        numpy, torch = History(2, 0.1), History(2, 0.1, torch_network=True)
        for seed in range(3):
            one, other = numpy.iterate(seed)[1], torch.iterate(seed)[1]
            np.testing.assert_allclose(
                other.advantages.numpy(), one.advantages, rtol=1e-4, atol=1e-6
            )
            numpy.step()
            torch.step()

    def test_goes_on_from_its_state(self) -> None:
        whole, copy = History(2, 0.1), History(2, 0.1)
        for seed in range(3):
            whole.iterate(seed)
            whole.step()
        state = whole.earlier.state()
        copy.policy.parameters[:] = whole.policy.parameters
        copy.value.factor = whole.value.factor
        copy.earlier.load_state({name: value.copy() for name, value in state.items()})
        one, other = whole.iterate(9)[1], copy.iterate(9)[1]
        np.testing.assert_array_equal(other.advantages, one.advantages)
        np.testing.assert_array_equal(other.observations, one.observations)


class TestTraining:
    @pytest.mark.parametrize("rule", ["vpg", "npg", "trpo", "ppo", "ppo_penalty"])
    def test_learns_from_the_last_iterations(self, rule: str) -> None:
        training = Training(running.config(rule, "CartPole-v1", **{"sampler.reuse": 3}))
        rows = [training.iterate() for _ in range(5)]
        training.close()
        assert rows[0]["reuse/effective_share"] is None
        assert all(0.3 < row["reuse/effective_share"] <= 1.0 for row in rows[1:])

    def test_the_bound_holds_over_all_states_with_the_normalisers_shift(self) -> None:
        """The normaliser moves most in the first iterations."""
        training = Training(running.config("trpo", "Pendulum-v1", **{"sampler.reuse": 4}))
        rows = [training.iterate() for _ in range(8)]
        training.close()
        assert any(row["trust_region/accepted"] for row in rows)
        bound = training.config.algo.max_kl
        assert all(row["policy/kl"] <= bound for row in rows if row["trust_region/accepted"])

    def test_estimating_earlier_samples_leaves_the_rewards_scale_alone(self) -> None:
        settings: Any = {"sampler.reuse": 3, "advantage.scale_rewards": "true"}
        training = Training(running.config("ppo", "Pendulum-v1", **settings))
        training.iterate()
        scaler, trainer = training.parts.scaler, training._trainer
        assert scaler is not None and training.parts.earlier is not None
        assert isinstance(trainer, BatchTrainer)
        kept = training.parts.earlier.state()
        before = {name: np.array(value) for name, value in scaler.state().items()}
        # Pendulum pays down to -16 a step; what is learned from is in deviations of the return.
        assert abs(kept["0/rewards"]).max() < 5.0
        earlier = Trajectories(
            **{name.partition("/")[2]: value for name, value in kept.items() if "log" not in name},
            episode_returns=[],
            episode_lengths=[],
        )
        estimated = trainer._estimated(earlier)
        assert np.isfinite(estimated.advantages).all()
        for name, value in scaler.state().items():
            np.testing.assert_array_equal(before[name], value)
        training.close()
