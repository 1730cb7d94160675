"""State values V(s) by regression on returns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trpo_cli.maths.adam import Adam, clip_norm
from trpo_cli.maths.returns import explained_variance
from trpo_cli.maths.schedule import scheduled
from trpo_cli.models.mlp import MLP


class Value:
    """V(s) = mean + std * network(s), fitted to returns by Adam on the mean squared error.

    `mean` and `std` are those of the returns seen so far; when they move, the last layer moves
    the other way, so that V does not change (van Hasselt et al. 2016, "preserving outputs
    precisely"). The network itself always works on targets of order one.
    """

    def __init__(self, config: Any, features: int, generator: np.random.Generator) -> None:
        self._config = config
        self.network = MLP([features, *config.hidden_sizes, 1], config.activation)
        self.parameters = np.zeros(self.network.num_parameters, dtype=np.float32)
        self.network.initialize(self.parameters, generator, output_gain=0.01)
        self._layers = self.network.views(self.parameters)
        self._adam = Adam(self.parameters)
        self._mean, self._std, self._count, self._square = 0.0, 1.0, 0.0, 0.0

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """V (n,) at normalised observations (n, features)."""
        return self.network.predict(self._layers, inputs)[:, 0] * self._std + self._mean

    def fit(
        self,
        observations: np.ndarray,
        returns: np.ndarray,
        generator: np.random.Generator,
        remaining: float,
    ) -> dict[str, float]:
        """Move V towards `returns`; the only writer of the value function.

        observations: (B, features), normalised; returns: (B,).
        remaining: share of training still to come, for the step-size schedule.
        """
        config = self._config
        explained = explained_variance(self.predict(observations), returns)
        if config.normalize_targets:
            self._rescale(returns)
        targets = (returns - self._mean) / self._std
        learning_rate = scheduled(config.learning_rate, config.schedule, remaining)
        size = len(targets)
        chunk = min(config.minibatch_size or size, size)
        gradient, loss = np.empty_like(self.parameters), 0.0
        for _ in range(config.epochs):
            inputs, wanted = observations, targets[:, None]
            if chunk < size:
                order = generator.permutation(size)
                inputs, wanted = inputs[order], wanted[order]
            for start in range(0, size, chunk):
                rows = slice(start, start + chunk)
                fit = self.network.linearize(self._layers, inputs[rows])
                error = fit.outputs - wanted[rows]
                loss += float(np.vdot(error, error))
                fit.vjp(error * (2.0 / len(error)), out=gradient)
                if not clip_norm(gradient, config.max_grad_norm):
                    self._adam.step(gradient, learning_rate)
        return {
            "value/loss": loss / (size * config.epochs) * self._std**2,
            "value/explained_variance": explained,
        }

    def _rescale(self, returns: np.ndarray) -> None:
        """Merge the returns' statistics and keep V as it is."""
        values = returns.astype(np.float64)
        count, mean = len(values), float(values.mean())
        total, delta = self._count + count, mean - self._mean
        self._square += float(((values - mean) ** 2).sum())
        self._square += delta**2 * self._count * count / total
        new_mean = self._mean + delta * count / total
        new_std = math.sqrt(self._square / total)
        if new_std <= 1e-6 * abs(new_mean):  # the rounding of equal returns is no scale
            new_std = 1.0
        weight, bias = self._layers[-1]
        weight *= self._std / new_std
        bias *= self._std / new_std
        bias += (self._mean - new_mean) / new_std
        self._mean, self._std, self._count = new_mean, new_std, total

    def state(self) -> dict[str, np.ndarray]:
        statistics = [self._mean, self._std, self._count, self._square]
        adam = {f"adam/{k}": v for k, v in self._adam.state().items()}
        return {"parameters": self.parameters, "statistics": np.array(statistics), **adam}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.parameters[:] = state["parameters"]
        self._mean, self._std, self._count, self._square = state["statistics"].tolist()
        self._adam.load_state(
            {k.removeprefix("adam/"): v for k, v in state.items() if k.startswith("adam/")}
        )
