"""The vine on a Markov decision process whose Q is known, and on simulators that replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import DISCRETE, explicit_fisher, make_batch, make_policy, tensor
from trpo_cli.algos.objectives import SinglePathObjective, VineObjective
from trpo_cli.algos.trpo import TRPO, TRPOConfig
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import EnvConfig
from trpo_cli.data.records import BranchBatch
from trpo_cli.errors import UserError
from trpo_cli.maths.distributions import mean_kl
from trpo_cli.models.policy import Policy
from trpo_cli.samplers.branching import check_vine, choose_states, number_of_actions
from trpo_cli.samplers.compiled import can_be_compiled, play_branches
from trpo_cli.samplers.rollouts import Rollouts, roll_out
from trpo_cli.samplers.vine import VineConfig
from trpo_cli.samplers.vine_sampler import Moments
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.trainer import Training

STATES, ACTIONS = 3, 2
_random = np.random.default_rng(3)
P = _random.dirichlet(np.ones(STATES), (STATES, ACTIONS))
REWARDS = _random.normal(size=(STATES, ACTIONS))
NOISE = 2.0
"""Deviation of what is added to every reward, from the environment's own generator."""


class Markov(gymnasium.Env[Any, Any]):
    """A random tabular process; the observation is one-hot. It never ends by itself."""

    observation_space = spaces.Box(0.0, 1.0, (STATES,))
    action_space = spaces.Discrete(ACTIONS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(STATES))
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.eye(STATES, dtype=np.float32)[self.state]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = REWARDS[self.state, action] + NOISE * self.np_random.normal()
        self.state = int(np.searchsorted(P[self.state, action].cumsum(), self.np_random.random()))
        return self._seen(), float(reward), False, False, {}


register: Any = gymnasium.register
register("Toy/Markov-v0", Markov, max_episode_steps=10_000)


def training(*overrides: str, **kwargs: Any) -> Training:
    return Training(config_of("sampler=vine", "seed=5", "threads=1", *overrides), **kwargs)


def collected(made: Training) -> Any:
    return made.sampler.collect(
        made.policy, made.generators["action_noise"], made.value, made.generators["branching"]
    )


def markov(*overrides: str) -> Training:
    made = training(
        "env=Toy/Markov-v0",
        "algo=trpo",
        "policy=linear",
        "policy.normalize_observations=false",
        "policy.output_gain=1.0",
        "discount=0.9",
        *overrides,
    )
    return made


def probabilities(policy: Policy) -> np.ndarray:
    """pi(a|s), (states, actions)."""
    distribution: Any = policy.distribution(np.eye(STATES, dtype=np.float32))
    probs: np.ndarray = np.exp(distribution.log_probs()).astype(np.float64)
    return probs


def exact_q(probs: np.ndarray, discount: float, horizon: int) -> np.ndarray:
    """sum_{l < L} gamma^l E r_l after each action in each state."""
    q = np.zeros((STATES, ACTIONS))
    for _ in range(horizon):
        q = REWARDS + discount * P @ (probs * q).sum(1)
    return q


class TestQ:
    @pytest.mark.parametrize(
        ("proposal", "common"),
        [
            ("all", "true"),
            ("all", "false"),
            ("policy", "true"),
            ("uniform", "true"),
            pytest.param("policy", "false", marks=pytest.mark.slow),
            pytest.param("uniform", "false", marks=pytest.mark.slow),
        ],
    )
    def test_is_unbiased(self, proposal: str, common: str) -> None:
        """Within three standard errors of its closed form, in every state and action."""
        made = markov(
            "sampler.choose=all",
            "sampler.num_envs=8",
            "sampler.steps_per_env=40",
            f"sampler.proposal={proposal}",
            f"sampler.common_random_numbers={common}",
            "sampler.rollouts_per_action=2",
            "sampler.horizon=6",
            "sampler.bootstrap=false",
        )
        q = exact_q(probabilities(made.policy), 0.9, 6)
        trajectories = collected(made)
        made.close()
        branches = trajectories.branches
        assert branches is not None
        seen: Any = trajectories.flat_observations
        where = seen[branches.states].argmax(axis=1)
        assert branches.steps == branches.values.size * 2 * 6
        for s in range(STATES):
            for a in range(ACTIONS):
                found = branches.values[where == s][branches.actions[where == s, :, 0] == a]
                # Actions of one state share numbers; states do not.
                error = found.std(ddof=1) / np.sqrt(np.sum(where == s))
                assert abs(found.mean() - q[s, a]) < 3.0 * error, (s, a)

    def test_bootstrap_adds_the_value_where_a_rollout_was_cut(self) -> None:
        made = markov("sampler.horizon=3", "sampler.choose=stride", "sampler.rollout_states=9")
        made.value.predict = lambda inputs: np.full(len(inputs), 100.0)  # type: ignore[method-assign]
        with_value = collected(made).branches
        again = markov(
            "sampler.horizon=3",
            "sampler.choose=stride",
            "sampler.rollout_states=9",
            "sampler.bootstrap=false",
        )
        without = collected(again).branches
        assert with_value is not None and without is not None
        np.testing.assert_allclose(with_value.values - without.values, 0.9**3 * 100.0, rtol=1e-4)

    def test_an_ended_rollout_ends(self) -> None:
        """CartPole pays 1 a step: Q without discount is the number of steps, and steps count."""
        made = training(
            "env=CartPole-v1", "discount=1.0", "sampler.horizon=60", "sampler.bootstrap=false",
            "sampler.num_envs=2", "sampler.steps_per_env=20", "sampler.width=7",
        )  # fmt: skip
        branches = collected(made).branches
        assert branches is not None
        assert branches.steps == int(branches.values.sum())
        assert branches.values.min() < 60.0


class TestCommonRandomNumbers:
    def test_lower_the_variance_of_differences(self) -> None:
        """The noise of the rewards, of deviation 2 a step, cancels; what is left is that of the
        states the actions lead to. The interval is a bootstrap over iterations."""
        made = markov("sampler.compare_states=40", "sampler.rollout_states=40", "sampler.horizon=8")
        pairs = []
        for _ in range(12):
            branches = collected(made).branches
            assert branches is not None and branches.difference_variance is not None
            pairs.append(branches.difference_variance)
        common, independent = np.array(pairs).T
        draws = np.random.default_rng(0).integers(12, size=(2000, 12))
        ratios = common[draws].mean(axis=1) / independent[draws].mean(axis=1)
        low, high = np.quantile(ratios, [0.025, 0.975])
        print(f"ratio {common.mean() / independent.mean():.3f} [{low:.3f}, {high:.3f}]")
        assert high < 0.5
        # Independent ones are those of two sums of 8 rewards at least.
        floor = 2.0 * NOISE**2 * sum(0.9 ** (2 * step) for step in range(8))
        assert independent.mean() == pytest.approx(floor, rel=0.35)


class TestReplay:
    @pytest.mark.parametrize("env", ["Hopper-v4", "CartPole-v1", "Pendulum-v1"])
    def test_a_branch_with_the_trunks_numbers_is_the_trunk(self, env: str) -> None:
        """K = 1, the trunk's own action and noise: the same rewards, bit for bit."""
        envs, start, length = 4, 7, 12
        made = Training(config_of(
            f"env={env}", "seed=1", "threads=1", f"sampler.num_envs={envs}",
            "sampler.steps_per_env=25", "sampler.groups=1",
        ))  # fmt: skip
        noise = made.policy.noise(np.random.default_rng(0), (25, envs))
        made.policy.noise = lambda generator, shape: noise  # type: ignore[method-assign]
        trunk: Any = made.sampler
        moments = Moments(trunk, np.arange(start * envs, (start + 1) * envs))
        trajectories = trunk.collect(made.policy, np.random.default_rng(0), moments=moments)
        kept = moments.in_order()
        branches = make_simulator(EnvConfig(env), envs, 1)

        def run() -> Rollouts:
            begun: Any = kept.rows(np.arange(envs)), trajectories.actions[start]
            begun += (noise[start + 1 : start + length], 1.0, None, False)
            if can_be_compiled(made.policy, branches):
                return play_branches(trunk.crew(made.policy), branches, made.policy, *begun)
            return roll_out(branches, made.policy, *begun)

        found = run()
        rewards = trajectories.rewards[start : start + length].astype(np.float64)
        over = (trajectories.terminated | trajectories.truncated)[start : start + length]
        alive = np.cumsum(np.concatenate([np.zeros((1, envs)), over[:-1]]), axis=0) == 0
        # The trunk keeps rewards in single precision; the same sum of the same numbers.
        np.testing.assert_allclose(found.returns, (rewards * alive).sum(axis=0), rtol=1e-6)
        assert found.steps == alive.sum()
        np.testing.assert_array_equal(found.returns, run().returns)

    @pytest.mark.parametrize("env", ["HalfCheetah-v4", "CartPole-v1"])
    def test_states_and_rewards_are_the_trunks_bit_for_bit(self, env: str) -> None:
        envs, start = 3, 5
        trunk, branches = (make_simulator(EnvConfig(env), envs, 1) for _ in range(2))
        trunk.reset(seed=[1, 2, 3])
        random = np.random.default_rng(0)
        actions: Any = [
            random.integers(2, size=envs)
            if env == "CartPole-v1"
            else random.uniform(-1, 1, (envs, 6))
            for _ in range(start + 40)
        ]
        for action in actions[:start]:
            trunk.step(action)
        branches.restore(trunk.snapshot(portable=False))
        for action in actions[start:]:
            a, b = trunk.step(action), branches.step(action)
            for name in ("observations", "rewards", "terminated", "truncated"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


class TestObjective:
    def test_every_action_with_exact_q_gives_the_exact_gradient(self) -> None:
        """sum_s sum_a grad pi(a|s) Q(s,a) / S by autograd on the logits."""
        policy = make_policy(DISCRETE)
        states = np.random.default_rng(0).normal(size=(6, 3))
        q = np.random.default_rng(1).normal(size=(6, 3))
        every = np.tile(np.arange(3), 6)[:, None]
        batch = make_batch(policy)
        branches = BranchBatch(
            policy.to_device(states), policy.to_device(every), policy.to_device(q), None
        )
        objective = VineObjective(policy, branches, policy.linearize(batch.observations), batch)

        theta = tensor(policy.parameters).requires_grad_()
        hidden = torch.tanh(tensor(states) @ theta[:15].view(3, 5) + theta[15:20])
        logits = hidden @ theta[20:35].view(5, 3) + theta[35:38]
        value = (torch.softmax(logits, 1) * tensor(q)).sum(1).mean()
        (expected,) = torch.autograd.grad(value, theta)
        assert objective.before == pytest.approx(value.item(), rel=1e-12)
        np.testing.assert_allclose(objective.gradient, expected.numpy(), atol=1e-13)

    @pytest.mark.parametrize("complete", [True, False])
    def test_a_constant_per_state_is_immaterial(self, complete: bool) -> None:
        policy, batch = make_policy(DISCRETE), None
        batch = make_batch(policy)
        random = np.random.default_rng(2)
        states, q = random.normal(size=(6, 3)), random.normal(size=(6, 3))
        actions = np.tile(np.arange(3), 6)[:, None]
        log_q = None if complete else policy.to_device(random.normal(size=(6, 3)))
        gradients = []
        for shift in (0.0, 50.0):
            values = policy.to_device(q + shift * np.arange(6.0)[:, None])
            branches = BranchBatch(
                policy.to_device(states), policy.to_device(actions), values, log_q
            )
            here = policy.linearize(batch.observations)
            gradients.append(VineObjective(policy, branches, here, batch).gradient)
        np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-12)

    def test_the_trust_region_is_that_of_the_trunks_states(self) -> None:
        """TRPO's step by the explicit Fisher matrix there, for an objective of other states."""
        policy = make_policy(DISCRETE)
        random = np.random.default_rng(4)
        states, q = 3.0 * random.normal(size=(6, 3)), random.normal(size=(6, 3))
        every = policy.to_device(np.tile(np.arange(3), 6)[:, None])
        branches = BranchBatch(policy.to_device(states), every, policy.to_device(q), None)
        batch = replace(make_batch(policy), branches=branches)
        trunk = policy.linearize(batch.observations)
        gradient = VineObjective(policy, branches, trunk, batch).gradient
        fisher = explicit_fisher(policy, DISCRETE, batch.observations)
        x = np.linalg.solve(fisher + 0.1 * np.eye(len(fisher)), gradient)
        old = [policy.distribution(at).detach() for at in (batch.observations, states)]
        before = policy.parameters.copy()
        exact = TRPOConfig(max_kl=1e-4, fisher_fraction=1.0, cg_iterations=200, cg_tolerance=1e-24)
        row = TRPO(exact).update(policy, batch, random, 1.0)
        assert row["trust_region/step_fraction"] == 1.0
        step = np.sqrt(2e-4 / (x @ gradient)) * x
        np.testing.assert_allclose(policy.parameters - before, step, rtol=1e-6)
        new = [policy.distribution(at) for at in (batch.observations, states)]
        on_trunk, on_branches = (float(mean_kl(a, b)) for a, b in zip(old, new, strict=True))
        assert row["policy/kl"] == pytest.approx(on_trunk) and on_trunk <= 1e-4
        assert abs(on_branches / on_trunk - 1.0) > 0.1

    def test_bonuses_are_those_of_the_trunk(self) -> None:
        policy = make_policy(DISCRETE)
        batch = make_batch(policy)
        zero = replace(batch, advantages=policy.to_device(np.zeros(64)))
        nothing = BranchBatch(
            batch.observations[:2], policy.to_device(np.array([[0], [1], [0], [1]])),
            policy.to_device(np.zeros((2, 2))), None,
        )  # fmt: skip
        here = policy.linearize(batch.observations)
        vine = VineObjective(policy, nothing, here, batch, entropy_coef=0.3)
        alone = SinglePathObjective(here, zero, entropy_coef=0.3)
        np.testing.assert_allclose(vine.gradient, alone.gradient, atol=1e-14)


class TestSettings:
    def test_states(self) -> None:
        random = np.random.default_rng(0)
        assert choose_states(VineConfig(choose="all"), 9, random).tolist() == list(range(9))
        stride = VineConfig(choose="stride", rollout_states=3)
        assert choose_states(stride, 9, random).tolist() == [0, 3, 6]
        some = choose_states(VineConfig(rollout_states=5), 100, random)
        assert len(set(some.tolist())) == 5 and (np.diff(some) > 0).all()

    @pytest.mark.parametrize(
        ("config", "space", "key"),
        [
            (VineConfig(proposal="all"), spaces.Box(-1, 1, (2,)), "sampler.proposal=all"),
            (VineConfig(proposal="uniform"), spaces.Box(-np.inf, 1, (2,)), "proposal=uniform"),
            (VineConfig(actions=1), spaces.Discrete(3), "sampler.actions=1"),
        ],
    )
    def test_refusals(self, config: VineConfig, space: Any, key: str) -> None:
        with pytest.raises(UserError, match=key):
            number_of_actions(config, space)

    def test_ppo_is_refused(self) -> None:
        with pytest.raises(UserError, match="sampler=vine cannot be combined with algo=ppo"):
            config_of("algo=ppo", "sampler=vine")

    def test_an_environment_that_cannot_go_back_is_refused_with_the_reason(self) -> None:
        from tests.support import hidden_state_envs  # noqa: F401  (registers them)

        config = config_of("sampler=vine", "env=Hidden/GlobalNumpy-v0")
        simulator = make_simulator(config.env, 1, 1)
        with pytest.raises(UserError, match="sampler=single_path"):
            check_vine(config, simulator)

    def test_uniform_proposals_do_not_go_behind_tanh(self) -> None:
        config = config_of("sampler=vine", "env=Pendulum-v1", "sampler.proposal=uniform",
                           "policy=mlp", "policy.actions=squash")  # fmt: skip
        with pytest.raises(UserError, match=r"policy\.actions=squash"):
            check_vine(config, make_simulator(config.env, 1, 1))

    def test_every_simulated_step_counts(self) -> None:
        made = training(
            "env=CartPole-v1", "algo=trpo", "sampler.num_envs=2", "sampler.steps_per_env=16"
        )
        row = made.iterate()
        made.close()
        assert row["step"] == row["vine/trunk_steps"] + row["vine/branch_steps"]
        assert row["vine/trunk_steps"] == 32

    @pytest.mark.parametrize("algo", ["vpg", "npg", "trpo"])
    @pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
    def test_every_rule_takes_a_step_uphill(self, algo: str, env: str) -> None:
        made = training(
            f"algo={algo}", f"env={env}", "sampler.num_envs=4", "sampler.steps_per_env=32"
        )
        rows = [made.iterate() for _ in range(3)]
        made.close()
        assert all(row["policy/surrogate_after"] > row["policy/surrogate_before"] for row in rows)
        assert all(0.0 < row["policy/kl"] < 0.1 for row in rows)
        assert all(1.0 <= row["vine/effective_sample_size"] <= 4.0 for row in rows)

    @pytest.mark.parametrize("env", ["CartPole-v1", "Hopper-v4"])
    def test_goes_on_identically(self, env: str) -> None:
        small = ["sampler.num_envs=4", "sampler.steps_per_env=32", "sampler.rollout_states=8"]
        first = training(f"env={env}", "algo=trpo", *small)
        for _ in range(2):
            first.iterate()
        arrays, state = first.state()
        arrays = {name: np.array(array) for name, array in arrays.items()}
        second = training(f"env={env}", "algo=trpo", *small)
        assert second.load_state(arrays, state) == ""
        for _ in range(2):
            rows = [
                {
                    k: v
                    for k, v in made.iterate().items()
                    if not k.startswith(("time/", "sec", "steps_"))
                }
                for made in (first, second)
            ]
            assert rows[0] == rows[1]

    @pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
    def test_a_game(self, threads: int) -> None:
        made = Training(config_of(
            "sampler=vine", "algo=trpo", "env=ALE/Pong-v5", "seed=2", f"threads={threads}",
            "sampler.num_envs=2", "sampler.steps_per_env=8", "sampler.rollout_states=3",
            "sampler.proposal=all", "sampler.horizon=4", "sampler.width=6", "sampler.groups=1",
        ))  # fmt: skip
        row = made.iterate()
        made.close()
        assert row["vine/trunk_steps"] == 16 and row["vine/branch_steps"] == 3 * 6 * 4
        assert np.isfinite(row["policy/surrogate_after"])
