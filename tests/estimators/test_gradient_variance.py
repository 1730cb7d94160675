"""What the estimators do to the policy gradient: bias and variance on a problem solved exactly.

    python -m tests.estimators.test_gradient_variance

prints the table. Three states, two actions, ten steps, a policy with parameters of its own for each
state and time: the discounted return is a polynomial in the action probabilities, and autograd
through the recursion over time gives its gradient. Episodes are whole.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.support.small import estimate
from trpo_cli.algos.objectives import SinglePathObjective
from trpo_cli.data.records import Trajectories
from trpo_cli.estimators.average_baseline import AverageBaselineConfig
from trpo_cli.estimators.gae import GAEConfig
from trpo_cli.estimators.q_value import QValueConfig
from trpo_cli.estimators.reward_to_go import RewardToGoConfig
from trpo_cli.estimators.td_residual import TDResidualConfig
from trpo_cli.estimators.total_return import TotalReturnConfig
from trpo_cli.estimators.value_baseline import ValueBaselineConfig
from trpo_cli.models.heads import make_head
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policy import Policy

STATES, ACTIONS, STEPS, DISCOUNT = 3, 2, 10, 0.9
FEATURES = STATES * STEPS
EPISODES, BATCHES = 8, 400

RNG = np.random.default_rng(0)
START = np.array([0.5, 0.3, 0.2])
MOVES = RNG.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))  # P(s'|s, a)
REWARDS = 1.0 + RNG.random((STATES, ACTIONS))
LOGITS = 0.5 * RNG.normal(size=(STEPS, STATES, ACTIONS))


def policy_of_the_table() -> Policy:
    mlp = MLP([FEATURES, ACTIONS], bias=False)
    head = make_head(spaces.Discrete(ACTIONS), "rescale")
    parameters = LOGITS.reshape(-1).copy()
    return Policy(mlp, head, Normalizer((FEATURES,), 10.0), parameters)


def exact() -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the discounted return, (P,), and V (FEATURES,) at each time and state."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    probs, moves, rewards = logits.softmax(2), torch.tensor(MOVES), torch.tensor(REWARDS)
    value, values = torch.zeros(STATES, dtype=torch.float64), []
    for t in reversed(range(STEPS)):
        value = (probs[t] * (rewards + DISCOUNT * (moves @ value))).sum(1)
        values.append(value.detach())
    (gradient,) = torch.autograd.grad(torch.tensor(START) @ value, logits)
    return gradient.numpy().reshape(-1), torch.stack(values[::-1]).numpy().reshape(-1)


def simulate(count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """States and actions (STEPS, count)."""
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum(2, keepdims=True)
    states, actions = np.empty((2, STEPS, count), dtype=np.int64)
    state = generator.choice(STATES, count, p=START)
    for t in range(STEPS):
        states[t] = state
        actions[t] = generator.random(count) < probs[t, state, 1]
        steps = MOVES[state, actions[t]].cumsum(1)
        state = np.minimum((generator.random(count)[:, None] > steps).sum(1), STATES - 1)
    return states, actions


@cache
def rollouts() -> list[Trajectories]:
    states, actions = simulate(EPISODES * BATCHES, np.random.default_rng(1))
    features = np.arange(STEPS)[:, None] * STATES + states
    observations = np.eye(FEATURES, dtype=np.float32)[features]
    over = np.zeros((STEPS, EPISODES), dtype=bool)
    over[-1] = True
    nothing = np.zeros((EPISODES, FEATURES), dtype=np.float32)
    return [
        Trajectories(
            observations=observations[:, rows],
            actions=actions[:, rows, None],
            rewards=REWARDS[states[:, rows], actions[:, rows]].astype(np.float32),
            terminated=over,
            truncated=np.zeros_like(over),
            ends=np.stack([np.full(EPISODES, STEPS - 1), np.arange(EPISODES)], axis=1),
            final_observations=nothing,
            last_observations=nothing,
            episode_returns=[0.0] * EPISODES,
            episode_lengths=[STEPS] * EPISODES,
        )
        for rows in np.split(np.arange(EPISODES * BATCHES), BATCHES)
    ]


class Table:
    """V from a table, for one-hot observations."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float32)

    def to_device(self, inputs: Any) -> Any:
        return inputs

    def predict(self, inputs: Any) -> Any:
        return inputs @ self.values


EXACT_GRADIENT, EXACT_VALUES = exact()
WRONG_VALUES = 10.0 * np.random.default_rng(2).random(FEATURES)
PLAIN: dict[str, Any] = {"standardize": False, "discount_states": True}
CASES: dict[str, tuple[Any, np.ndarray]] = {
    "total_return": (TotalReturnConfig(**PLAIN), 0.0 * WRONG_VALUES),
    "reward_to_go": (RewardToGoConfig(**PLAIN), 0.0 * WRONG_VALUES),
    "average_baseline": (AverageBaselineConfig(**PLAIN), 0.0 * WRONG_VALUES),
    "value_baseline": (ValueBaselineConfig(**PLAIN), EXACT_VALUES),
    "q_value": (QValueConfig(**PLAIN), EXACT_VALUES),
    "td_residual": (TDResidualConfig(**PLAIN), EXACT_VALUES),
    "gae": (GAEConfig(**PLAIN), EXACT_VALUES),
    "total_return, not weighted": (
        TotalReturnConfig(standardize=False),
        0.0 * WRONG_VALUES,
    ),
    "value_baseline, wrong V": (ValueBaselineConfig(**PLAIN), WRONG_VALUES),
    "td_residual, wrong V": (TDResidualConfig(**PLAIN), WRONG_VALUES),
    "gae, not weighted": (GAEConfig(standardize=False), EXACT_VALUES),
}
BIASED = ("td_residual, wrong V", "gae, not weighted")
ORDER = ("total_return", "reward_to_go", "average_baseline", "value_baseline", "gae")


@cache
def gradients(case: str) -> np.ndarray:
    """One per rollout of EPISODES episodes, (BATCHES, P), each an estimate for one episode."""
    config, table = CASES[case]
    policy, value, estimator = policy_of_the_table(), Table(table), config.build()
    found = []
    for trajectories in rollouts():
        batch = estimate(trajectories, policy, value, DISCOUNT, config, estimator=estimator)
        here = policy.linearize(batch.observations)
        found.append(STEPS * SinglePathObjective(here, batch).gradient)
    return np.array(found)


def standard_errors(case: str) -> np.ndarray:
    """How far the mean gradient is from the exact one, in its standard errors, (P,)."""
    found = gradients(case)
    spread = found.std(axis=0, ddof=1) / np.sqrt(BATCHES)
    z: np.ndarray = (found.mean(axis=0) - EXACT_GRADIENT) / spread
    return z


def variance_ratio(above: str, below: str) -> tuple[float, float, float]:
    """Ratio of the total variances, trace by trace, and its 95% interval over resampled rollouts,
    the same for both."""
    squares = []
    for case in (above, below):
        found = gradients(case)
        squares.append(((found - found.mean(axis=0)) ** 2).sum(axis=1))
    drawn = np.random.default_rng(3).integers(BATCHES, size=(4000, BATCHES))
    ratios = squares[0][drawn].mean(axis=1) / squares[1][drawn].mean(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return squares[0].mean() / squares[1].mean(), float(low), float(high)


class TestBias:
    # Of 60 components a normal z is beyond 4 once in 260 tests, its mean square beyond 2 never.
    @pytest.mark.parametrize("case", [case for case in CASES if case not in BIASED])
    def test_none(self, case: str) -> None:
        z = standard_errors(case)
        assert abs(z).max() < 4.0
        assert np.mean(z**2) < 2.0

    @pytest.mark.parametrize("case", BIASED)
    def test_where_v_is_wrong_or_states_are_not_discounted(self, case: str) -> None:
        """So the test above can tell."""
        assert abs(standard_errors(case)).max() > 8.0


class TestVariance:
    @pytest.mark.parametrize(("above", "below"), list(pairwise(ORDER)))
    def test_is_in_the_order_of_theory(self, above: str, below: str) -> None:
        _, low, _ = variance_ratio(above, below)
        assert low > 1.0


if __name__ == "__main__":
    print(f"{BATCHES} gradients of {EPISODES} episodes each, exact V where one is used")
    print(f"{'':28s}{'variance':>10s}   ratio to gae [95%]      largest z")
    for name in CASES:
        total = gradients(name).var(axis=0).sum()
        ratio, low, high = variance_ratio(name, "gae")
        z = abs(standard_errors(name)).max()
        print(f"{name:28s}{total:10.4f}   {ratio:6.2f} [{low:6.2f}, {high:6.2f}]   {z:8.2f}")
    for above, below in pairwise(ORDER):
        print(above, "/", below, "{:.2f} [{:.2f}, {:.2f}]".format(*variance_ratio(above, below)))
