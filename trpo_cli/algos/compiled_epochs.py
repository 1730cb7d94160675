"""The epochs of `algos.epochs` in compiled code, where there is some for what they ask.

That is: an MLP in one process on the CPU, one of our heads, and one of the terms whose slopes are
in `maths.surrogate`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trpo_cli.data.records import Batch
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.distributions import Distribution, Gaussian
from trpo_cli.maths.state_gaussian import StateGaussian
from trpo_cli.maths.surrogate import clip_only_slope, clipped_slope, spo_slope, unclipped_slope
from trpo_cli.models.mlp import MLP
from trpo_cli.models.packed import Packed, head_of, numbers, policy_packable, probabilities

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy

SLOPES: list[Callable[..., Any]] = [unclipped_slope, clipped_slope, clip_only_slope, spo_slope]
"""In the order of their numbers in `kernels.policy`."""


class Done(NamedTuple):
    """samples: gone through; reason: of the last step that was not taken, or empty; at_old:
    whether none has been taken since pi_old."""

    samples: int
    reason: str
    at_old: bool


def can_compile(policy: Policy, batch: Batch, slope: Callable[..., Any]) -> bool:
    """Whether `compiled_epochs` can do it."""
    return policy_packable(policy, batch.split) and _bare(slope) in SLOPES


def compiled_epochs(
    policy: Policy,
    batch: Batch,
    old: Distribution,
    old_log_prob: np.ndarray,
    adam: Adam,
    config: Any,
    learning_rate: float,
    orders: list[np.ndarray],
    slope: Callable[..., Any],
    kl_coef: float,
    target_kl: float,
    at_old: bool,
) -> Done:
    """`MinibatchAscent.epoch` for each order, until the end of one without any usable gradient or
    a minibatch beyond the target."""
    from trpo_cli.kernels import policy as kernel
    from trpo_cli.kernels.adam import REASONS

    assert isinstance(policy.network, MLP)
    chunk = min(config.minibatch_size or batch.size, batch.size)
    packed = Packed(policy.network, adam, chunk)
    if isinstance(old, Gaussian | StateGaussian):
        before, log_std = old.mean, old.log_std
    else:
        before, log_std = probabilities(old), np.zeros(1)
    clip_range = slope.keywords["clip_range"] if isinstance(slope, partial) else 0.0
    done, steps, reason, at_old = kernel.ascend(
        packed.net,
        head_of(policy, packed.layout),
        packed.vectors,
        packed.step(learning_rate, config.max_grad_norm),
        adam.steps,
        packed.room,
        kernel.Samples(
            numbers(batch.observations),
            numbers(batch.actions),
            numbers(batch.advantages),
            numbers(old_log_prob),
            numbers(before),
            numbers(log_std),
        ),
        kernel.Loss(
            SLOPES.index(_bare(slope)),
            clip_range,
            float(kl_coef),
            float(config.entropy_coef),
            float(target_kl),
        ),
        np.concatenate(orders),
        chunk,
        at_old,
    )
    packed.unpack(steps)
    return Done(done, REASONS[reason], at_old)


def _bare(slope: Callable[..., Any]) -> Callable[..., Any]:
    return slope.func if isinstance(slope, partial) else slope
