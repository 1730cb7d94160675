"""F^-1 g by conjugate gradients in compiled code, for an MLP in one process on the CPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.data.records import Batch
from trpo_cli.maths.conjugate_gradient import NOT_POSITIVE, CGResult
from trpo_cli.maths.distributions import Gaussian
from trpo_cli.maths.state_gaussian import StateGaussian
from trpo_cli.models.mlp import MLP
from trpo_cli.models.packed import Layout, head_of, numbers, policy_packable, probabilities

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


def can_compile(policy: Policy, gradient: np.ndarray, batch: Batch) -> bool:
    """Whether `compiled_solution` can do it; a gradient that is none is left to the numpy form."""
    return policy_packable(policy, batch.split) and 0.0 < float(gradient @ gradient) < math.inf


def compiled_solution(
    policy: Policy, observations: np.ndarray, gradient: np.ndarray, config: Any
) -> tuple[CGResult, float]:
    """x ~ F^-1 g and x'Fx, damping included, F from the mean KL at the observations."""
    from trpo_cli.kernels.gradients import spare_size
    from trpo_cli.kernels.mlp import work_size
    from trpo_cli.kernels.natural import BLOCK, States, solve
    from trpo_cli.kernels.vector import aligned

    assert isinstance(policy.network, MLP)
    layout = Layout(policy.network, policy.parameters)
    here = policy.distribution(observations)
    if isinstance(here, Gaussian):
        metric = np.exp(-2.0 * here.log_std)
    else:
        metric = here.metric() if isinstance(here, StateGaussian) else probabilities(here)
    states = States(
        len(observations),
        numbers(observations),
        numbers(metric),
        aligned(work_size(layout.net, len(observations))),
        aligned(work_size(layout.net, BLOCK)),
        aligned(spare_size(layout.net.sizes)),
    )
    x = aligned(layout.length)
    residual, iterations, positive, curvature = solve(
        layout.net,
        head_of(policy, layout),
        layout.pack(policy.parameters),
        states,
        config.damping,
        x,
        layout.pack(gradient),
        layout.pack(gradient),
        aligned(layout.length),
        config.cg_iterations,
        config.cg_tolerance,
    )
    flat = np.empty_like(gradient)
    layout.unpack(x, flat)
    return CGResult(flat, residual, iterations, "" if positive else NOT_POSITIVE), curvature
