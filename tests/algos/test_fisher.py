"""Two estimates of the Fisher matrix: of the mean KL, and of the sampled scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.small import (
    BOX,
    DISCRETE,
    SPACES,
    make_batch,
    make_policy,
    numpy,
    oracle_log_prob,
    oracle_policy,
    tensor,
)
from trpo_cli.algos.natural_gradient import natural_direction
from trpo_cli.algos.npg import NPGConfig
from trpo_cli.algos.objectives import SinglePathObjective

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
SIZES = [2**k for k in range(7, 14)]


def outer_products(policy, space, batch):
    """mean grad log pi grad log pi' by autograd, sample by sample, (P, P)."""
    parts = oracle_policy(policy, space, batch.observations)
    scores = torch.autograd.functional.jacobian(
        lambda theta: oracle_log_prob(parts(theta), batch.actions), tensor(policy.parameters)
    )
    return numpy(scores.T @ scores) / len(scores)


class TestEmpiricalFisher:
    @every_space
    @pytest.mark.parametrize("torch_network", [False, True])
    def test_is_the_mean_outer_product_of_scores(self, space, torch_network):
        policy = make_policy(space, torch_network=torch_network)
        batch = make_batch(policy)
        expected = outer_products(policy, space, batch)
        product = policy.linearize(batch.observations).empirical_fisher(batch.actions)
        for v in np.random.default_rng(0).normal(size=(3, len(expected))):
            np.testing.assert_allclose(
                numpy(product(policy.to_device(v))), expected @ v, atol=1e-11
            )

    @pytest.mark.parametrize("fraction", [1.0, 0.5])
    def test_the_direction_solves_its_system(self, fraction):
        policy = make_policy()
        batch = make_batch(policy)
        gradient = SinglePathObjective(policy.linearize(batch.observations), batch).gradient
        config = NPGConfig(
            fisher="empirical", fisher_fraction=fraction, cg_iterations=200, cg_tolerance=1e-28
        )
        natural = natural_direction(policy, batch, gradient, config, np.random.default_rng(0))
        rows = np.arange(64)
        if fraction < 1.0:
            rows = np.sort(np.random.default_rng(0).choice(64, 32, replace=False))
        chosen = replace(batch, observations=batch.observations[rows], actions=batch.actions[rows])
        damped = outer_products(policy, BOX, chosen) + 0.1 * np.eye(len(gradient))
        np.testing.assert_allclose(
            natural.direction, np.linalg.solve(damped, gradient), rtol=1e-6, atol=1e-9
        )

    @pytest.mark.parametrize("rule", ["npg", "trpo"])
    def test_both_rules_take_it(self, update, rule):
        steps = []
        for fisher in ("empirical", "kl_hessian"):
            policy = make_policy()
            result = update(rule, policy, make_batch(policy), fisher=fisher)
            assert result["policy/surrogate_after"] > result["policy/surrogate_before"]
            steps.append(result.step)
        assert abs(steps[0] - steps[1]).max() > 1e-3


def disagreement(space, repeats=12):
    """|(F_emp - F_kl) v| / |F_kl v|, mean over batches, for batches of each size (sizes, repeats).

    Both are estimated on the same states, so that only the sampled actions tell them apart.
    """
    policy = make_policy(space, hidden=(4,))
    v = np.random.default_rng(7).normal(size=len(policy.parameters))
    errors = np.empty((len(SIZES), repeats))
    for i, size in enumerate(SIZES):
        for j in range(repeats):
            batch = make_batch(policy, seed=1000 * i + j, size=size)
            here = policy.linearize(batch.observations)
            expected = here.fisher_product(v)
            error = here.empirical_fisher(batch.actions)(v) - expected
            errors[i, j] = np.linalg.norm(error) / np.linalg.norm(expected)
    return errors


def fitted_rate(errors):
    """Slope of log error over log batch size, and its 95% interval over resampled batches."""
    x = np.log(SIZES)
    generator, repeats = np.random.default_rng(0), errors.shape[1]
    slopes = []
    for _ in range(2000):
        drawn = generator.integers(repeats, size=errors.shape)
        y = np.log(np.take_along_axis(errors, drawn, axis=1).mean(axis=1))
        slopes.append(np.polyfit(x, y, 1)[0])
    slope = np.polyfit(x, np.log(errors.mean(axis=1)), 1)[0]
    return slope, *np.percentile(slopes, [2.5, 97.5])


class TestAgreement:
    @pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["Box", "Discrete"])
    def test_the_two_approach_each_other_as_one_over_the_root_of_the_batch(self, space):
        """An average of B independent terms has an error of 1 / sqrt(B): slope -1/2."""
        slope, low, high = fitted_rate(disagreement(space))
        assert low < -0.5 < high
        assert high - low < 0.3
        assert -0.6 < slope < -0.4


if __name__ == "__main__":
    for kind in (BOX, DISCRETE):
        table = disagreement(kind)
        for count, row in zip(SIZES, table, strict=True):
            print(f"{type(kind).__name__:10s} B = {count:6d}   error {row.mean():.4f}")
        print("slope {:.3f} [{:.3f}, {:.3f}]".format(*fitted_rate(table)))
