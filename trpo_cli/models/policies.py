"""A stochastic policy pi_theta(a|s): normaliser, network, head, one flat parameter vector."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.maths.distributions import Distribution, Parameters
from trpo_cli.models.heads import Head, make_head
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import Normalizer


class NetworkLinearization(Protocol):
    """A network at one batch: outputs (B, D) and products with its Jacobian."""

    outputs: Array

    def vjp(self, u: Array, out: Array | None = None) -> Array: ...

    def jvp(self, v: Array) -> Array: ...


class Network(Protocol):
    """`models.mlp.MLP` in closed form, or any torch module through `models.autograd`."""

    num_parameters: int

    def array(self, x: np.ndarray) -> Array: ...

    def views(self, flat: Array) -> Any: ...

    def linearize(self, layers: Any, inputs: Array) -> NetworkLinearization: ...

    def predict(self, layers: Any, inputs: np.ndarray) -> np.ndarray: ...


class PolicyLinearization:
    """The policy at one batch of states: its distributions, and products with their Jacobian.

    The Jacobian is that of the distribution's parameters (network outputs and the extra vector)
    with respect to theta; theta holds the network's parameters first, then the extra ones.
    """

    def __init__(
        self, network: NetworkLinearization, size: int, head: Head, parameters: Array
    ) -> None:
        self._network, self._size, self._parameters = network, size, parameters
        self.distribution = head.distribution(network.outputs, parameters[size:])

    def vjp(self, gradient: Parameters, out: Array | None = None) -> Array:
        """J' u summed over the batch: gradient with respect to theta, (P,)."""
        if out is None:
            out = namespace(self._parameters).empty_like(self._parameters)
        self._network.vjp(gradient.outputs, out=out[: self._size])
        out[self._size :] = gradient.extra
        return out

    def jvp(self, v: Array) -> Parameters:
        """J v: v (P,) -> outputs (B, D) and extra (E,)."""
        return Parameters(self._network.jvp(v[: self._size]), v[self._size :])

    def fisher_product(self, v: Array) -> Array:
        """F v = mean over states of J' M J v, (P,): the Fisher matrix is never formed."""
        return self.vjp(self.distribution.fisher(self.jvp(v)))


class Policy:
    """pi_theta with its parameters on one flat vector (P,).

    Two ways in: `act` for the sampler (a few rows of raw observations) and `linearize` for the
    update rules (a batch of normalised observations).
    """

    def __init__(
        self, network: Network, head: Head, normalizer: Normalizer, parameters: Array
    ) -> None:
        self.network, self.head, self.normalizer = network, head, normalizer
        self.parameters = parameters
        size = network.num_parameters
        self._layers, self._extra = network.views(parameters[:size]), parameters[size:]

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """The random part of actions, shape + (k,), independent of theta."""
        return self.head.noise(generator, shape)

    def act(self, observations: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, A) in the policy's units for raw observations (n, *obs).

        noise: (n, k) from `noise`, or None for the most likely actions.
        """
        outputs = self.network.predict(self._layers, self.normalize(observations))
        return self.head.act(outputs, self._numpy_extra(), noise)

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions (n, A) as the environment takes them."""
        return self.head.to_env(actions)

    def array(self, x: np.ndarray) -> Array:
        """x as the kind of array that the network works on."""
        return self.network.array(x)

    def normalize(self, observations: np.ndarray) -> np.ndarray:
        """Raw observations (n, *obs) -> network inputs (n, features), numpy."""
        inputs = self.normalizer(observations)
        return inputs.reshape(len(inputs), -1)

    def linearize(self, inputs: Array) -> PolicyLinearization:
        """Distributions at normalised observations (B, features) and their Jacobian."""
        network = self.network.linearize(self._layers, inputs)
        size = self.network.num_parameters
        return PolicyLinearization(network, size, self.head, self.parameters)

    def distribution(self, inputs: Array) -> Distribution:
        return self.linearize(inputs).distribution

    @property
    def std_mean(self) -> float | None:
        """Mean standard deviation of a Gaussian policy's actions; None for other heads."""
        return float(np.exp(self._numpy_extra()).mean()) if len(self._extra) else None

    def _numpy_extra(self) -> np.ndarray:
        return self._extra if isinstance(self._extra, np.ndarray) else self._extra.cpu().numpy()

    def state(self) -> dict[str, Array]:
        normalizer = {f"normalizer/{k}": v for k, v in self.normalizer.state().items()}
        return {"parameters": self.parameters, **normalizer}

    def load_state(self, state: dict[str, Array]) -> None:
        self.parameters[:] = self.array(np.asarray(state["parameters"]))
        prefix = "normalizer/"
        self.normalizer.load_state(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )


def build_policy(
    config: Any,
    observation_space: spaces.Box,
    action_space: spaces.Space[Any],
    generator: np.random.Generator,
    device: str = "cpu",
) -> Policy:
    """The policy that a configuration describes, with its first parameters.

    On a CPU the perceptron works in closed form, on another device through autograd.
    """
    head = make_head(action_space, config)
    features = int(np.prod(observation_space.shape))
    if config.name == "linear":
        mlp = MLP([features, head.num_outputs], bias=config.bias)
    else:
        mlp = MLP([features, *config.hidden_sizes, head.num_outputs], config.activation)
    normalizer = Normalizer(
        observation_space.shape, config.observation_clip, config.normalize_observations
    )
    size = mlp.num_parameters
    parameters = np.zeros(size + head.num_extra, dtype=np.float32)
    mlp.initialize(parameters[:size], generator, config.output_gain)
    parameters[size:] = config.init_log_std
    if device == "cpu":
        return Policy(mlp, head, normalizer, parameters)
    from trpo_cli.models.autograd import ModuleNetwork, torch_mlp

    network = ModuleNetwork(torch_mlp(mlp), device)
    return Policy(network, head, normalizer, network.array(parameters))
