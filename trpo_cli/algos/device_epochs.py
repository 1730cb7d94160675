"""The epochs of `algos.epochs` on a device that takes its steps alone (`models.orders`).

Nothing is asked of the device but once an epoch: how many samples it went through, and whether a
minibatch was beyond the target. From there on it leaves out all steps by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from trpo_cli.algos.minibatch import Slope, minibatch_gradient
from trpo_cli.data.records import Batch
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array
from trpo_cli.maths.distributions import Distribution
from trpo_cli.maths.surrogate import sampled_kl
from trpo_cli.models.device_steps import MinibatchSteps, Samples

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy


class Loss(NamedTuple):
    """What a captured step cannot change. slope: of the surrogate's terms; penalty: whether the KL
    has a weight; target: the largest `sampled_kl` of a minibatch that is stepped along."""

    slope: Slope
    penalty: bool
    target: float


class DeviceEpochs:
    """What lasts from update to update: numbers that steps read and write, and captured steps.

    config: `minibatch_size`, `entropy_coef`, `max_grad_norm`. value_coef: c_V.
    """

    def __init__(self, policy: Policy, adam: Adam, config: Any, value_coef: float) -> None:
        self._policy, self._adam = policy, adam
        self._config, self._value_coef = config, value_coef
        device = policy.parameters.device
        self._learning_rate, self._kl_coef = torch.zeros(2, device=device).unbind()
        self._start = adam.count.clone()
        self._samples = torch.zeros((), dtype=torch.int64, device=device)
        self._beyond = torch.zeros((), dtype=torch.bool, device=device)
        self._gradient = torch.empty_like(policy.parameters)
        self._loss: Loss | None = None
        self._steps: MinibatchSteps | None = None

    def begin(self, learning_rate: float) -> None:
        """A new batch, collected by the policy as it is."""
        self._learning_rate.fill_(learning_rate)
        self._start.copy_(self._adam.count)
        self._samples.zero_()
        self._beyond.zero_()

    def epoch(
        self,
        batch: Batch,
        old: Distribution,
        old_log_prob: Array,
        order: Array,
        slope: Slope,
        kl_coef: float,
        target_kl: float,
    ) -> tuple[int, bool]:
        """`MinibatchAscent.epoch`: how many samples of this batch have been gone through so far,
        and whether this order was, to its end."""
        loss = Loss(slope, bool(kl_coef), target_kl)
        if self._steps is None or loss != self._loss:
            state = [*self._adam.tensors, self._samples, self._beyond]
            capturable = getattr(self._policy.network, "capturable", False)
            self._loss, self._steps = loss, MinibatchSteps(self._step, state, capturable)
        self._kl_coef.fill_(kl_coef)
        samples = [batch.observations, batch.actions, batch.advantages, old_log_prob, batch.targets]
        if loss.penalty:
            samples.append(old)
        self._steps.epoch(samples, order, self._config.minibatch_size or batch.size)
        done, beyond = torch.stack([self._samples, self._beyond.long()]).tolist()
        return done, not beyond

    def _step(self, samples: Samples, count: int) -> None:
        assert self._loss is not None
        config, adam = self._config, self._adam
        observations, actions, advantages, before, targets, *old = samples
        here = self._policy.linearize(observations)
        log_prob, vjp = here.distribution.log_prob_vjp(actions)
        if self._loss.target < float("inf"):
            self._beyond |= sampled_kl(log_prob, before).sum() > self._loss.target * count
        # At pi_old the KL has no gradient but what rounding makes of it.
        penalty: Tensor = self._kl_coef * (adam.count > self._start)
        minibatch_gradient(
            here,
            vjp,
            self._loss.slope(log_prob, before, advantages),
            targets,
            count,
            config.entropy_coef,
            self._value_coef,
            (penalty, old[0]) if old else None,
            self._gradient,
        )
        adam.clipped_step_there(
            self._gradient, self._learning_rate, config.max_grad_norm, self._beyond
        )
        self._samples += count * (~self._beyond)
