"""A value function that is linear in given features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.maths.arrays import Array
from trpo_cli.models.policy import Policy


class LinearValue:
    """V(s) = w'phi(s) + b on features phi, by least squares.

        minimise  mean (w'phi + b - R)^2 + ridge |w|^2

    in closed form, once per batch, after the policy has moved. The features are those of the
    policy's last hidden layer, whose parameters are not touched (a trust-region step is not bent
    by another loss), or quadratic in the observation.

    features: network inputs -> (n, count).
    """

    def __init__(
        self, policy: Policy, features: Callable[[Any], np.ndarray], count: int, ridge: float
    ) -> None:
        self._policy, self._features, self._ridge = policy, features, ridge
        self.parameters = np.zeros(count + 1, dtype=np.float32)

    def to_device(self, inputs: Any) -> Any:
        """Network inputs as the policy's network wants them."""
        return self._policy.to_device(inputs)

    def predict(self, inputs: Any) -> np.ndarray:
        """V (n,)."""
        return self._features(inputs) @ self.parameters[:-1] + self.parameters[-1]

    def fit(
        self,
        observations: Any,
        returns: np.ndarray,
        generator: np.random.Generator,
        remaining: float,
        split: Split = WHOLE,
    ) -> dict[str, float]:
        """Solve for w and b."""
        features = self._features(observations).astype(np.float64)
        size = split.size(len(features))
        mean = split.sum(features.sum(axis=0)) / size
        target = float(split.average(returns.mean()))
        centred = features - mean
        gram = split.sum(centred.T @ centred) / size
        gram[np.diag_indices_from(gram)] += self._ridge
        weights = np.linalg.solve(gram, split.sum(centred.T @ (returns - target)) / size)
        self.parameters[:-1] = weights
        self.parameters[-1] = target - mean @ weights
        error = features @ weights + self.parameters[-1] - returns
        return {
            "value/loss": float(split.average(np.mean(error**2))),
        }

    def state(self) -> dict[str, Array]:
        return {"parameters": self.parameters}

    def load_state(self, state: dict[str, Array]) -> None:
        self.parameters[:] = state["parameters"]
