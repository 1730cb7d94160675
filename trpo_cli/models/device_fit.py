"""The fit of `models.value` on a device that takes its steps alone (`models.orders`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array
from trpo_cli.models.device_steps import MinibatchSteps, Samples
from trpo_cli.models.policy import Network
from trpo_cli.models.regression import squared_errors


class DeviceFit:
    """What lasts from fit to fit: numbers that steps read and write, and captured steps.

    layers: views of the Adam's parameters.
    """

    def __init__(self, network: Network, layers: Any, adam: Adam, max_norm: float | None) -> None:
        self._network, self._layers, self._adam = network, layers, adam
        self._max_norm = max_norm
        self._gradient = torch.empty_like(adam.parameters)
        self._learning_rate = adam.count.new_zeros(())
        self._loss = adam.count.new_zeros((), dtype=torch.float64)
        state = [*adam.tensors, self._loss]
        self._steps = MinibatchSteps(self._step, state, getattr(network, "capturable", False))

    def __call__(
        self,
        inputs: Any,
        targets: Tensor,
        orders: Sequence[Array | None],
        chunk: int,
        learning_rate: float,
    ) -> float:
        """Epochs of minibatches of `chunk` samples, each in its order; None: as they are. targets:
        (B, 1). Returns the sum of all squared errors."""
        self._learning_rate.fill_(learning_rate)
        self._loss.zero_()
        for order in orders:
            self._steps.epoch([inputs, targets], order, chunk)
        return float(self._loss)

    def _step(self, samples: Samples, count: int) -> None:
        inputs, targets = samples
        self._loss += squared_errors(
            self._network, self._layers, inputs, targets, count, self._gradient
        )
        self._adam.clipped_step_there(self._gradient, self._learning_rate, self._max_norm)
