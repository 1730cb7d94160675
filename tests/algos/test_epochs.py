"""Rules with minibatches: variants of PPO's objective, the KL penalty, dual descent."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.algos.conftest import BUILD
from tests.support.small import (
    BOX,
    SPACES,
    make_batch,
    make_policy,
    oracle_entropy,
    oracle_kl,
    oracle_log_prob,
    oracle_policy,
    tensor,
)
from trpo_cli.algos.compiled_epochs import can_compile
from trpo_cli.algos.epochs import MinibatchAscent
from trpo_cli.algos.ppo_penalty import PPOPenaltyConfig
from trpo_cli.distributed.split import Split
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.surrogate import clipped_slope, unclipped_slope

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
CLIP, BONUS, STEP, NORM = 0.1, 0.01, 0.02, 0.3
COMMON: dict[str, Any] = {
    "epochs": 4,
    "minibatch_size": 24,  # does not divide the batch of 64
    "learning_rate": STEP,
    "entropy_coef": BONUS,
    "max_grad_norm": NORM,
    "schedule": "constant",
}
WITHOUT_LIMITS: dict[str, Any] = {
    "epochs": 1,
    "minibatch_size": None,
    "learning_rate": 0.01,
    "max_grad_norm": None,
    "schedule": "constant",
}
OBJECTIVES = {
    "clip": lambda r, a: torch.minimum(r * a, r.clamp(1.0 - CLIP, 1.0 + CLIP) * a),
    "clip_only": lambda r, a: r.clamp(1.0 - CLIP, 1.0 + CLIP) * a,
    "spo": lambda r, a: r * a - a.abs() * (r - 1.0) ** 2 / (2.0 * CLIP),
    "unclipped": lambda r, a: r * a,
}


def reference(policy, space, batch, objective, kl_coef=0.0, advantages=None):
    """The papers' loop in torch: autograd and torch.optim.Adam on the whole loss. advantages: of
    every epoch."""
    advantages = advantages or [batch.advantages] * COMMON["epochs"]
    theta = tensor(policy.parameters).requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=STEP, eps=1e-5)
    start = theta.detach().clone()
    generator, term = np.random.default_rng(5), OBJECTIVES[objective]
    for epoch in range(COMMON["epochs"]):
        order = generator.permutation(len(batch.advantages))
        for first in range(0, len(order), COMMON["minibatch_size"]):
            rows = order[first : first + COMMON["minibatch_size"]]
            parts = oracle_policy(policy, space, batch.observations[rows])
            old, new = parts(start), parts(theta)
            actions = batch.actions[rows]
            ratio = torch.exp(oracle_log_prob(new, actions) - oracle_log_prob(old, actions))
            loss = -term(ratio, tensor(advantages[epoch][rows])).mean()
            loss = loss + kl_coef * oracle_kl(old, new).mean()
            loss = loss - BONUS * oracle_entropy(new).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([theta], NORM)
            optimizer.step()
    return theta.detach().numpy()


class TestAgainstAutograd:
    """torch's norm clipping adds 1e-6 to the norm; Adam passes relative errors on."""

    @every_space
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_objectives(self, update, space, objective):
        policy = make_policy(space)
        batch = make_batch(policy)
        expected = reference(policy, space, batch, objective)
        result = update(
            "ppo", policy, batch, generator=5, objective=objective, clip_range=CLIP, **COMMON
        )
        np.testing.assert_allclose(result.after, expected, atol=1e-5)
        # Or nothing tells them apart. SPO brings back what leaves the interval.
        assert result["policy/clip_fraction"] > (0.0 if objective == "spo" else 0.2)

    def test_objectives_differ(self, update):
        steps = []
        for objective in OBJECTIVES:
            policy = make_policy()
            batch = make_batch(policy)
            settings = {"objective": objective, "clip_range": CLIP, **COMMON}
            steps.append(update("ppo", policy, batch, **settings).step)
        for i, step in enumerate(steps):
            assert abs(step - steps[i - 1]).max() > 0.01

    @every_space
    def test_penalties(self, update, space):
        """The penalty and the multiplier are one term of one loss."""
        kl_coef = 5.0
        policy, plain = make_policy(space), make_policy(space)
        batch = make_batch(policy)
        expected = reference(policy, space, batch, "unclipped", kl_coef)
        without = reference(plain, space, batch, "unclipped")
        for rule, name in (("ppo_penalty", "kl_coef"), ("dual", "multiplier")):
            policy = make_policy(space)
            result = update(rule, policy, batch, generator=5, **{name: kl_coef}, **COMMON)
            np.testing.assert_allclose(result.after, expected, atol=1e-5)
        assert abs(expected - without).max() > 0.01


class TestRefreshed:
    @pytest.mark.parametrize("rule", ["ppo", "ppo_penalty", "dual"])
    def test_every_epoch_has_advantages_of_its_own(self, update, rule):
        policy, random = make_policy(), np.random.default_rng(3)
        batch = make_batch(policy)
        each = [batch.advantages, *random.normal(size=(COMMON["epochs"] - 1, batch.size))]
        left = list(each[1:])

        def refreshed():
            return replace(batch, advantages=left.pop(0), refreshed=refreshed)

        own: dict[str, dict[str, Any]] = {
            "ppo": {"objective": "unclipped"},
            "ppo_penalty": {"kl_coef": 5.0},
            "dual": {"multiplier": 5.0},
        }
        kl_coef = 0.0 if rule == "ppo" else 5.0
        expected = reference(policy, BOX, batch, "unclipped", kl_coef, each)
        given = replace(batch, refreshed=refreshed)
        result = update(rule, policy, given, generator=5, **own[rule], **COMMON)
        np.testing.assert_allclose(result.after, expected, atol=1e-5)
        assert left == [] and result["policy/epochs"] == COMMON["epochs"]


class TestIdentities:
    @pytest.mark.parametrize(
        ("rule", "settings"),
        [("ppo_penalty", {"kl_coef": 0.0, "kl_target": None}), ("dual", {"multiplier": 0.0})],
    )
    def test_without_a_penalty_it_is_unclipped_ppo(self, update, rule, settings):
        results = []
        for name, own in ((rule, settings), ("ppo", {"objective": "unclipped"})):
            policy = make_policy(dtype=np.float32)
            results.append(update(name, policy, make_batch(policy), **own, **COMMON))
        assert results[0].after.tobytes() == results[1].after.tobytes()
        assert abs(results[0].step).max() > 0.01

    @pytest.mark.parametrize("rule", ["ppo_penalty", "dual"])
    def test_one_full_epoch_is_vanilla(self, rule):
        """The first step is taken at pi_old, where the KL has no gradient: whatever the penalty."""
        policy, other = make_policy(), make_policy()
        ours = BUILD[rule](policy, **WITHOUT_LIMITS)
        vpg = BUILD["vpg"](other, learning_rate=0.01)
        vpg._adam.eps = ours._optimizer._adam.eps
        for seed in range(3):
            batch = make_batch(other, seed=seed)
            ours.update(policy, batch, np.random.default_rng(0), 1.0)
            vpg.update(other, batch, np.random.default_rng(0), 1.0)
            # The permutation changes the order of sums.
            np.testing.assert_allclose(policy.parameters, other.parameters, rtol=1e-9)

    @pytest.mark.parametrize("rule", ["ppo_penalty", "dual"])
    def test_rounding_at_the_old_policy_is_no_gradient(self, update, rule):
        """Without advantages there is nothing to gain, and Adam would blow up the smallest noise
        of the KL's gradient. 7 rows and 500 are multiplied in different orders."""
        policy = make_policy(hidden=(64, 64), dtype=np.float32)
        batch = make_batch(policy, size=500)
        batch = replace(batch, advantages=0.0 * batch.advantages)
        result = update(rule, policy, batch, minibatch_size=7)
        assert result.after.tobytes() == result.before.tobytes()
        assert result["policy/skipped"] == "zero gradient"


class TestAdaptation:
    def penalties(self, learning_rate, updates=4, **settings):
        """beta and KL of several updates, each from the same policy and batch."""
        policy = make_policy()
        algorithm = BUILD["ppo_penalty"](
            policy, learning_rate=learning_rate, schedule="constant", **settings
        )
        start, rows = policy.parameters.copy(), []
        for _ in range(updates):
            policy.parameters[:] = start
            metrics = algorithm.update(policy, make_batch(policy), np.random.default_rng(0), 1.0)
            rows.append((metrics["policy/kl_coef"], metrics["policy/kl"]))
        return rows, algorithm

    def test_small_steps_halve_it(self):
        rows, _ = self.penalties(1e-6)
        assert [beta for beta, _ in rows] == [1.0, 0.5, 0.25, 0.125]
        assert all(kl < 0.01 / 1.5 for _, kl in rows)

    def test_long_steps_double_it(self):
        rows, algorithm = self.penalties(0.03, updates=3)
        assert [beta for beta, _ in rows] == [1.0, 2.0, 4.0]
        assert all(kl > 0.015 for _, kl in rows)
        assert algorithm.state()["kl_coef"].tolist() == [8.0]

    def test_without_a_target_it_stays(self):
        rows, _ = self.penalties(0.03, kl_target=None, kl_coef=0.7)
        assert [beta for beta, _ in rows] == [0.7] * 4

    def test_an_update_that_moves_nothing_leaves_it(self):
        for rule, value in (("ppo_penalty", "kl_coef"), ("dual", "multiplier")):
            policy = make_policy()
            batch = make_batch(policy)
            algorithm = BUILD[rule](policy)
            nothing = replace(batch, advantages=0.0 * batch.advantages)
            algorithm.update(policy, nothing, np.random.default_rng(0), 1.0)
            assert getattr(algorithm, value) == 1.0
            algorithm.update(policy, batch, np.random.default_rng(0), 1.0)
            assert getattr(algorithm, value) != 1.0

    def test_a_state_holds_it(self):
        for rule, value in (("ppo_penalty", "kl_coef"), ("dual", "multiplier")):
            first, second = (BUILD[rule](make_policy(BOX)) for _ in range(2))
            setattr(first, value, 3.7)
            second.load_state({k: np.copy(v) for k, v in first.state().items()})
            assert getattr(second, value) == 3.7


class TestAdaptiveStepSize:
    def sizes(self, first, updates=3, **settings):
        """Step sizes and KLs of several updates, each from the same policy and batch."""
        policy = make_policy()
        algorithm = BUILD["ppo"](policy, learning_rate=first, schedule="adaptive", **settings)
        start, rows = policy.parameters.copy(), []
        for _ in range(updates):
            policy.parameters[:] = start
            metrics = algorithm.update(policy, make_batch(policy), np.random.default_rng(0), 1.0)
            rows.append((metrics["policy/learning_rate"], metrics["policy/kl"]))
        return rows, algorithm

    def test_follows_the_kl(self):
        for first, factor in ((1e-5, 1.5), (0.02, 1.0 / 1.5)):
            rows, algorithm = self.sizes(first)
            expected = [first * factor**k for k in range(4)]
            np.testing.assert_allclose([size for size, _ in rows], expected[:3])
            assert algorithm.state()["learning_rate"] == pytest.approx(expected[3])
            for _, kl in rows:
                assert kl < 0.005 if factor > 1.0 else kl > 0.02

    def test_stays_inside_the_band(self):
        """The KL of the first update is the target: neither twice nor half of it."""
        ((_, kl),), _ = self.sizes(1e-3, updates=1)
        _, algorithm = self.sizes(1e-3, updates=1, schedule_kl=kl)
        assert algorithm.state()["learning_rate"] == 1e-3

    def test_a_state_holds_it_and_an_idle_update_leaves_it(self):
        _, first = self.sizes(0.02)
        policy = make_policy()
        second = BUILD["ppo"](policy, learning_rate=0.02, schedule="adaptive")
        second.load_state({key: np.copy(array) for key, array in first.state().items()})
        batch = make_batch(policy)
        nothing = replace(batch, advantages=0.0 * batch.advantages)
        metrics = second.update(policy, nothing, np.random.default_rng(0), 1.0)
        assert metrics["policy/learning_rate"] == pytest.approx(0.02 / 1.5**3)
        assert second.state()["learning_rate"] == first.state()["learning_rate"]

    def test_a_state_of_another_schedule_has_none(self):
        policy = make_policy()
        constant = BUILD["ppo"](policy, schedule="constant").state()
        assert "learning_rate" not in constant
        adaptive = BUILD["ppo"](policy, learning_rate=0.002, schedule="adaptive")
        adaptive.load_state(constant)
        assert adaptive.state()["learning_rate"] == 0.002


class TestDual:
    def test_the_multiplier_makes_the_bound_hold(self):
        """The same problem again and again: lambda settles where the mean KL is delta, and one
        step of it is multiplier_step (KL / delta - 1)."""
        policy = make_policy()
        batch, start = make_batch(policy), policy.parameters.copy()
        settings = {**COMMON, "entropy_coef": 0.0, "epochs": 20}
        algorithm = BUILD["dual"](policy, max_kl=0.02, multiplier_step=1.0, **settings)
        kls, multipliers = [], []
        for _ in range(40):
            policy.parameters[:] = start
            algorithm.load_state({**BUILD["dual"](policy).state(), "multiplier": np.array(
                [algorithm.multiplier])})  # fmt: skip
            metrics = algorithm.update(policy, batch, np.random.default_rng(0), 1.0)
            kls.append(metrics["policy/kl"])
            multipliers.append(metrics["policy/multiplier"])
        steps = np.diff(multipliers)
        np.testing.assert_allclose(steps, np.array(kls[:-1]) / 0.02 - 1.0, atol=1e-12)
        assert kls[0] > 0.03 and multipliers[-1] > 1.0
        assert kls[-1] == pytest.approx(0.02, rel=0.02)


class TestCompiled:
    """Float32 parameters are moved by compiled code, float64 ones by the numpy form: the oracle.

    Gradients of 24 bits differ by some 1e-7 of their size, and so do the Adam steps made of them;
    12 steps of 0.02 differ by at most a few 1e-6.
    """

    def both(self, update, rule, space, **settings):
        made = []
        for dtype in (np.float32, np.float64):
            policy = make_policy(space, hidden=(20, 5), dtype=dtype)
            batch = make_batch(policy)
            assert can_compile(policy, batch, unclipped_slope) == (dtype == np.float32)
            made.append(update(rule, policy, batch, generator=5, **{**COMMON, **settings}))
        return made

    def check(self, ours, theirs):
        np.testing.assert_allclose(ours.after, theirs.after, atol=1e-5)
        assert abs(theirs.step).max() > 0.01
        assert ours["policy/epochs"] == theirs["policy/epochs"]
        assert ours["policy/kl"] == pytest.approx(theirs["policy/kl"], rel=1e-3)

    @every_space
    @pytest.mark.parametrize("objective", OBJECTIVES)
    def test_objectives(self, update, space, objective):
        self.check(*self.both(update, "ppo", space, objective=objective, clip_range=CLIP))

    @every_space
    @pytest.mark.parametrize("rule", ["ppo_penalty", "dual"])
    def test_penalties(self, update, space, rule):
        name = {"ppo_penalty": "kl_coef", "dual": "multiplier"}[rule]
        self.check(*self.both(update, rule, space, **{name: 5.0}))

    @every_space
    def test_without_bonus_and_clipping(self, update, space):
        self.check(*self.both(update, "ppo", space, entropy_coef=0.0, max_grad_norm=None))

    @every_space
    def test_stops_at_a_minibatch(self, update, space):
        ours, theirs = self.both(update, "ppo", space, target_kl=1e-2)
        self.check(ours, theirs)
        assert 0.0 < ours["policy/epochs"] < COMMON["epochs"]

    @every_space
    def test_one_gradient(self, space):
        """One minibatch at a policy that is not pi_old: what Adam is given, to rounding."""
        first = []
        for dtype in (np.float32, np.float64):
            policy = make_policy(space, dtype=dtype)
            batch = make_batch(policy)
            config = PPOPenaltyConfig(kl_coef=5.0, **{**COMMON, "minibatch_size": None})
            adam = Adam(policy.parameters)
            ascent = MinibatchAscent(policy, batch, adam, config, np.random.default_rng(0), STEP)
            policy.parameters[:] *= dtype(1.1)
            ascent._at_old = False
            ascent.run(1, unclipped_slope, kl_coef=5.0)
            first.append(adam.first)
        assert abs(first[1]).max() > 1e-3
        np.testing.assert_allclose(first[0], first[1], atol=1e-6 * abs(first[1]).max())

    def test_what_it_does_not_know_goes_the_numpy_way(self):
        policy = make_policy(dtype=np.float32)
        batch = make_batch(policy)
        assert can_compile(policy, batch, partial(clipped_slope, clip_range=CLIP))
        assert not can_compile(policy, batch, lambda new, old, a: a)
        spread = replace(batch, split=Split(numbers=np.arange(64), size=128))
        assert not can_compile(policy, spread, unclipped_slope)
        torch_policy = make_policy(torch_network=True)
        assert not can_compile(torch_policy, make_batch(torch_policy), unclipped_slope)
