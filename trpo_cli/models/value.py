"""State values V(s) by regression on returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.data.states import join, part
from trpo_cli.distributed.split import WHOLE, Minibatches, Split
from trpo_cli.maths.adam import Adam
from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.maths.schedule import scheduled
from trpo_cli.models.mlp import MLP
from trpo_cli.models.orders import draw_order, takes_alone
from trpo_cli.models.packed import Packed, numbers, packable
from trpo_cli.models.policy import Network
from trpo_cli.models.regression import squared_errors

if TYPE_CHECKING:
    from trpo_cli.models.device_fit import DeviceFit


class StateValue(Protocol):
    """What the estimates and the training loop ask of a value function."""

    parameters: Array

    def to_device(self, inputs: Any) -> Any:
        """Network inputs as the kind of array that it works on."""
        ...

    def predict(self, inputs: Any) -> np.ndarray:
        """V (n,) of network inputs (n, features) or `FrameStacks`."""
        ...

    def fit(
        self,
        observations: Any,
        returns: Array,
        generator: np.random.Generator,
        remaining: float,
        split: Split = WHOLE,
    ) -> dict[str, float]:
        """Move V towards the returns (B,) at B network inputs; metrics.

        split: how the B samples are spread over processes.
        """
        ...

    def state(self) -> dict[str, Array]: ...

    def load_state(self, state: dict[str, Array]) -> None: ...


class Value:
    """V(s) = mean + std * network(s), fitted to returns by Adam on the mean squared error.

    `mean` and `std` are those of the returns seen so far; when they move, the last layer moves
    the other way, so that V does not change (van Hasselt et al. 2016, "preserving outputs
    precisely"). The network itself always works on targets of order one.
    """

    def __init__(self, config: Any, network: Network, parameters: Array) -> None:
        self._config, self.network, self.parameters = config, network, parameters
        self._layers = network.views(parameters)
        self._adam = Adam(parameters)
        self._there: DeviceFit | None = None
        self._mean, self._std, self._count, self._square = 0.0, 1.0, 0.0, 0.0

    def to_device(self, inputs: Any) -> Any:
        """Network inputs as the kind of array that it works on."""
        return self.network.to_device(inputs)

    def predict(self, inputs: Any) -> np.ndarray:
        """V (n,) at normalised observations (n, features)."""
        return self.network.predict(self._layers, inputs)[:, 0] * self._std + self._mean

    def fit(
        self,
        observations: Any,
        returns: Array,
        generator: np.random.Generator,
        remaining: float,
        split: Split = WHOLE,
        epochs: int | None = None,
    ) -> dict[str, float]:
        """Move V towards `returns`; the only writer of the value function.

        observations: (B, features), normalised, and returns (B,): numpy arrays or tensors.
        remaining: share of training still to come, for the step-size schedule.
        epochs: passes over the samples; None: those of the settings.
        """
        config = self._config
        epochs = config.epochs if epochs is None else epochs
        if config.normalize_targets:
            self._rescale(returns, split)
        targets = (returns - self._mean) / self._std
        learning_rate = scheduled(config.learning_rate, config.schedule, remaining)
        size = split.size(len(targets))
        chunk = min(config.minibatch_size or size, size)
        orders = [
            draw_order(size, generator, self.parameters, split) if chunk < size else None
            for _ in range(epochs)
        ]
        fit = self._fit_numpy
        if packable(self.network, self.parameters, split):
            fit = self._fit_compiled
        elif takes_alone(self.parameters, split):
            fit = self._fit_there
        loss = fit(observations, targets, orders, chunk, learning_rate, split)
        return {"value/loss": loss / (size * epochs) * self._std**2}

    def _fit_numpy(
        self,
        observations: Any,
        targets: Array,
        orders: Sequence[Array | None],
        chunk: int,
        learning_rate: float,
        split: Split,
    ) -> float:
        """Epochs of minibatches of `chunk` samples, each in its order; None: as they are. Returns
        the sum of all squared errors."""
        observations = self.network.to_device(observations)
        targets = self.network.to_device(targets[:, None])
        size = split.size(len(targets))
        xp = namespace(self.parameters)
        gradient, loss = xp.empty_like(self.parameters), 0.0
        minibatches: Minibatches = [(slice(None), size)]
        for order in orders:
            inputs, wanted = observations, targets
            if order is not None:
                shuffled, minibatches = split.minibatches(order, chunk)
                inputs, wanted = inputs[shuffled], wanted[shuffled]
            for rows, count in minibatches:
                loss = loss + squared_errors(
                    self.network, self._layers, inputs[rows], wanted[rows], count, gradient
                )
                split.sum(gradient)
                self._adam.clipped_step(gradient, learning_rate, self._config.max_grad_norm)
        return float(split.sum(loss))

    def _fit_there(
        self,
        observations: Any,
        targets: Array,
        orders: Sequence[Array | None],
        chunk: int,
        learning_rate: float,
        split: Split,
    ) -> float:
        """The same on a device that takes its steps alone."""
        if self._there is None:
            from trpo_cli.models.device_fit import DeviceFit

            self._there = DeviceFit(
                self.network, self._layers, self._adam, self._config.max_grad_norm
            )
        inputs = self.network.to_device(observations)
        wanted = self.network.to_device(targets[:, None])
        return self._there(inputs, wanted, orders, chunk, learning_rate)

    def _fit_compiled(
        self,
        observations: Any,
        targets: Array,
        orders: Sequence[Array | None],
        chunk: int,
        learning_rate: float,
        split: Split,
    ) -> float:
        """The same in one call, of an MLP in one process."""
        from trpo_cli.kernels.value import fit

        assert isinstance(self.network, MLP)
        packed = Packed(self.network, self._adam, chunk)
        samples = np.arange(len(targets))
        order = np.concatenate([samples if order is None else order for order in orders])
        loss, steps = fit(
            packed.net,
            packed.vectors,
            packed.step(learning_rate, self._config.max_grad_norm),
            self._adam.steps,
            packed.room,
            numbers(observations),
            numbers(targets),
            order,
            chunk,
        )
        packed.unpack(steps)
        return float(loss)

    def _rescale(self, returns: Array, split: Split) -> None:
        """Merge the returns' statistics and keep V as it is; only the first ones move it, to
        their mean: before them it means nothing, and a network that starts at -mean / std of its
        targets has to unlearn that first.
        """
        xp = namespace(returns)
        values = xp.asarray(returns, dtype=xp.float64)
        count, mean = split.size(len(values)), float(split.average(float(values.mean())))
        total, delta = self._count + count, mean - self._mean
        self._square += float(split.sum(float(((values - mean) ** 2).sum())))
        self._square += delta**2 * self._count * count / total
        new_mean = self._mean + delta * count / total
        new_std = math.sqrt(self._square / total)
        if new_std <= 1e-6 * abs(new_mean):  # the rounding of equal returns is no scale
            new_std = 1.0
        weight, bias = self._layers[-1]
        weight *= self._std / new_std
        bias *= self._std / new_std
        if self._count:
            bias += (self._mean - new_mean) / new_std
        self._mean, self._std, self._count = new_mean, new_std, total

    def state(self) -> dict[str, Array]:
        statistics = [self._mean, self._std, self._count, self._square]
        adam = join({"adam": self._adam.state()})
        return {"parameters": self.parameters, "statistics": np.array(statistics), **adam}

    def load_state(self, state: dict[str, Array]) -> None:
        self.parameters[:] = self.network.to_device(np.asarray(state["parameters"]))
        self._mean, self._std, self._count, self._square = state["statistics"].tolist()
        self._adam.load_state(part(state, "adam"))
