"""The gradient of one minibatch's loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trpo_cli.algos.objectives import value_slope
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution, Pullback

if TYPE_CHECKING:
    from trpo_cli.models.policy import PolicyLinearization

Slope = Callable[[Array, Array, Array], Array]
"""log pi, log pi_old and A, (n,) each -> df / dlog pi, (n,)."""


def minibatch_gradient(
    here: PolicyLinearization,
    vjp: Pullback,
    gain: Array,
    targets: Array,
    count: int,
    entropy_coef: float,
    value_coef: float,
    penalty: tuple[Array, Distribution] | None,
    out: Array,
) -> Array:
    """Gradient (P,) of the loss whose means are over `count` samples, of which there are n here:

        - mean f - c_H mean H + c mean KL(pi_old || pi_theta) + c_V mean (V - R)^2

    here: the policy at the n states. vjp: of the log-probabilities there; gain: f' with respect to
    those, (n,). penalty: c, a number or a tensor (), and pi_old in the n states. targets: R, (n,).
    out: where the gradient is written.
    """
    distribution, share = here.distribution, len(gain) / count
    descent = vjp(gain * (-1.0 / count))
    if entropy_coef:
        descent = descent.plus(-entropy_coef * share, distribution.entropy_gradient())
    if penalty is not None:
        kl_coef, old = penalty
        descent = descent.plus(kl_coef * share, distribution.kl_gradient(old))
    values = None
    if here.values is not None:
        values = value_slope(here.values, targets, value_coef, count)
    return here.vjp(descent, values, out=out)
