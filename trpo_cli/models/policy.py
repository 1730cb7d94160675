"""A stochastic policy pi_theta(a|s): normaliser, network, head, one flat parameter vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from trpo_cli.data.sequences import Memory
from trpo_cli.data.states import join, part
from trpo_cli.maths.arrays import Array, as_numpy, copy, namespace
from trpo_cli.maths.distributions import Distribution, Parameters
from trpo_cli.maths.schedule import fall_within
from trpo_cli.models.heads import GaussianHead, Head
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import IdentityNormalizer, Normalizer


class NetworkLinearization(Protocol):
    """A network at one batch: outputs (B, D) and products with its Jacobian."""

    outputs: Array

    def vjp(self, u: Array, out: Array | None = None) -> Array: ...

    def jvp(self, v: Array) -> Array: ...


class Network(Protocol):
    """`models.mlp.MLP` and `models.conv.ConvNet` in closed form, or any torch module through
    `models.autograd`. Inputs are arrays (B, features), or `FrameStacks` of images."""

    num_parameters: int

    def to_device(self, x: Any) -> Any: ...

    def views(self, flat: Array) -> Any: ...

    def linearize(self, layers: Any, inputs: Any) -> NetworkLinearization: ...

    def outputs(self, layers: Any, inputs: Any) -> Array: ...

    def predict(self, layers: Any, inputs: Any) -> np.ndarray: ...


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network whose last hidden layer a linear value function can stand on."""

    def features(self, layers: Any, inputs: Any) -> np.ndarray: ...


@runtime_checkable
class RememberingNetwork(Protocol):
    """A network that carries a state of S numbers from step to step, such as
    `models.recurrent.RecurrentNetwork`. All its other methods take `Sequences`, of `length` steps;
    None: of as many as a rollout has."""

    state_size: int
    length: int | None

    def step(
        self, layers: Any, inputs: np.ndarray, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]: ...


class PolicyLinearization:
    """The policy at one batch of states: its distributions, and products with their Jacobian.

    The Jacobian is that of the distribution's parameters (network outputs and the extra vector)
    with respect to theta; theta holds the network's parameters first, then the extra ones.

    values: (B,), V(s) from a network that gives it beside the distribution, otherwise None.
    """

    def __init__(
        self, network: NetworkLinearization, size: int, head: Head, parameters: Array
    ) -> None:
        self._network, self._size, self._parameters = network, size, parameters
        outputs, columns = network.outputs, head.num_outputs
        self._head = head
        self.distribution = head.distribution(outputs[:, :columns], parameters[size:])
        self.values = outputs[:, columns] if outputs.shape[1] > columns else None

    def vjp(
        self, gradient: Parameters, values: Array | None = None, out: Array | None = None
    ) -> Array:
        """J' u summed over the batch: gradient with respect to theta, (P,).

        values: (B,), the part of u that belongs to `values`; None is zero.
        """
        xp, outputs = namespace(self._parameters), gradient.outputs
        if out is None:
            out = xp.empty_like(self._parameters)
        if self.values is not None:
            column = xp.zeros_like(self.values) if values is None else values
            outputs = xp.concatenate([outputs, column[:, None]], 1)
        self._network.vjp(outputs, out=out[: self._size])
        out[self._size :] = gradient.extra
        return out

    def jvp(self, v: Array) -> Parameters:
        """J v: v (P,) -> outputs (B, D) and extra (E,)."""
        outputs = self._network.jvp(v[: self._size])
        if self.values is not None:
            outputs = outputs[:, :-1]
        return Parameters(outputs, v[self._size :])

    def tried(self, k: int) -> Distribution:
        """The distributions with each state repeated k times, for k actions in each, (B * k)."""
        return _repeated(self._head, self._network.outputs, self._parameters[self._size :], k)

    def fold(self, gradient: Parameters, k: int) -> Parameters:
        """A gradient with respect to the distributions of `tried` as one with respect to those
        of the states."""
        outputs = gradient.outputs
        return Parameters(outputs.reshape(-1, k, outputs.shape[1]).sum(1), gradient.extra)

    def fisher_product(self, v: Array) -> Array:
        """F v = mean over states of J' M J v, (P,): the Fisher matrix is never formed."""
        return self.vjp(self.distribution.fisher(self.jvp(v)))

    def empirical_fisher(self, actions: Array) -> Callable[[Array], Array]:
        """v -> mean of grad log pi(a|s) (grad log pi(a|s))'v over B sampled actions, (P,): one
        product with the scores' Jacobian and one with its transpose."""
        pull, size = self.distribution.log_prob_vjp(actions)[1], max(1, len(actions))

        def product(v: Array) -> Array:
            along = self.distribution.log_prob_jvp(actions, self.jvp(v))
            return self.vjp(pull(along / size))

        return product


class Policy:
    """pi_theta with its parameters on one flat vector (P,).

    Two ways in: `act` for the sampler (a few rows of raw observations) and `linearize` for the
    update rules (a batch of normalised observations).
    """

    def __init__(
        self,
        network: Network,
        head: Head,
        normalizer: Normalizer | IdentityNormalizer,
        parameters: Array,
    ) -> None:
        self.network, self.head, self.normalizer = network, head, normalizer
        self.parameters = parameters
        size = network.num_parameters
        self._layers, self._extra = network.views(parameters[:size]), parameters[size:]
        self._ceiling: Array | None = None
        self._floor: Array | None = None

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """The random part of actions, shape + (k,), independent of theta."""
        return self.head.noise(generator, shape)

    def act(self, observations: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, A) in the policy's units for raw observations (n, *obs).

        noise: (n, k) from `noise`, or None for the most likely actions.
        """
        return self.draw(self.normalize(observations), noise)

    def draw(self, inputs: Any, noise: np.ndarray | None) -> np.ndarray:
        """The same for network inputs."""
        outputs = self.network.predict(self._layers, inputs)
        return self.head.act(outputs[:, : self.head.num_outputs], self._numpy_extra(), noise)

    @property
    def state_size(self) -> int:
        """S, the numbers that it remembers from step to step of an episode; mostly 0."""
        return self.network.state_size if isinstance(self.network, RememberingNetwork) else 0

    @property
    def sequence_length(self) -> int | None:
        """See `RememberingNetwork.length`."""
        return self.network.length if isinstance(self.network, RememberingNetwork) else None

    def act_after(
        self, states: np.ndarray, observations: np.ndarray, noise: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`act` of a policy that remembers: actions, and what it remembers after them, both from
        what it remembered before, (n, S). See `models.acting`, which keeps that."""
        assert isinstance(self.network, RememberingNetwork)
        inputs = self.normalize(observations)
        outputs, after = self.network.step(self._layers, inputs, states)
        return self.head.act(outputs, self._numpy_extra(), noise), after

    def act_there(self, observations: Array, noise: Array) -> Array:
        """`act` where a torch network is: tensors in, a tensor out, and nobody waits for it."""
        outputs = self.network.outputs(self._layers, self.normalize(observations))
        return self.head.act(outputs[:, : self.head.num_outputs], self._extra, noise)

    def variants(self, parameters: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """K policies that always take their most likely action, an MLP each, whose
        parameters are (K, P): raw observations (K * n, *obs), n of each policy one after the
        other, -> actions (K * n, A) in the policy's units."""
        assert isinstance(self.network, MLP)
        network, count = self.network, len(parameters)
        layers = network.views_each(parameters)

        def act(observations: np.ndarray) -> np.ndarray:
            inputs = self.normalize(observations)
            outputs = network.predict(layers, inputs.reshape(count, -1, inputs.shape[1]))
            return self.head.act(outputs.reshape(len(inputs), -1), self._numpy_extra(), None)

        return act

    def to_env(self, actions: Array) -> Array:
        """Actions (n, A) as the environment takes them; of a tensor, a tensor."""
        return self.head.to_env(actions)

    def to_device(self, x: Any) -> Any:
        """x, an array or `FrameStacks`, as the kind of array that the network works on."""
        return self.network.to_device(x)

    def normalize(self, observations: Any) -> Any:
        """Raw observations (n, *obs) -> network inputs (n, features), of the same kind of array;
        images stay."""
        return self.normalizer(observations)

    def inputs(self, observations: Any, memory: Memory | None = None) -> Any:
        """What `linearize` and `distribution` take, from raw observations (B, *obs); memory: what
        a policy that remembers remembered of them, step-major."""
        inputs = self.to_device(self.normalize(observations))
        return inputs if memory is None else memory.sequences(inputs, self.sequence_length)

    def linearize(self, inputs: Any) -> PolicyLinearization:
        """Distributions at normalised observations (B, features) and their Jacobian."""
        network = self.network.linearize(self._layers, inputs)
        size = self.network.num_parameters
        return PolicyLinearization(network, size, self.head, self.parameters)

    def distribution(self, inputs: Any) -> Distribution:
        """Distributions alone."""
        outputs = self.network.outputs(self._layers, inputs)
        return self.head.distribution(outputs[:, : self.head.num_outputs], self._extra)

    def tried(self, inputs: Any, k: int) -> Distribution:
        """Distributions with each state repeated k times."""
        return _repeated(self.head, self.network.outputs(self._layers, inputs), self._extra, k)

    def values(self, inputs: Any) -> np.ndarray:
        """V (n,) from a network that gives it beside the distribution."""
        return self.network.predict(self._layers, inputs)[:, self.head.num_outputs]

    def features(self, inputs: Any) -> np.ndarray:
        """The last hidden layer of a convolutional network, (n, hidden)."""
        assert isinstance(self.network, FeatureNetwork)
        return self.network.features(self._layers, inputs)

    def _numpy_extra(self) -> np.ndarray:
        return as_numpy(self._extra)

    def cool(self, nats: float, bound: float | None = None, lowered: float = 0.0) -> None:
        """Let the update that comes leave shared log deviations at least so far below where they
        are now. bound: on its KL; at most a quarter of it goes to that. lowered: by how much their
        floor lies lower by then; one that is below its floor already is not lifted to it."""
        self._ceiling = self._floor = None
        if not isinstance(self.head, GaussianHead) or not self.head.num_extra:
            return
        if self.head.min_log_std is not None:
            self._floor = self._extra.clip(None, self.head.min_log_std - lowered)
        if nats > 0.0:
            if bound is not None:
                nats = min(nats, fall_within(0.25 * bound, self.head.num_extra))
            self._ceiling = copy(self._extra) - nats

    def hold(self) -> None:
        """Put shared log deviations back below what `cool` asked for, and above their floor: for a
        rule that has moved theta, before it measures how far."""
        if not isinstance(self.head, GaussianHead):
            return
        xp, extra = namespace(self._extra), self._extra
        if self._ceiling is not None:
            extra[:] = xp.minimum(extra, self._ceiling)
        floor = self.head.min_log_std if self._floor is None else self._floor
        if floor is not None:
            extra[:] = xp.clip(extra, floor, None)

    def state(self) -> dict[str, Array]:
        normalizer = join({"normalizer": self.normalizer.state()})
        return {"parameters": self.parameters, **normalizer}

    def load_state(self, state: dict[str, Array]) -> None:
        self.parameters[:] = self.to_device(np.asarray(state["parameters"]))
        self.normalizer.load_state(part(state, "normalizer"))


def _repeated(head: Head, outputs: Array, extra: Array, k: int) -> Distribution:
    outputs = outputs[:, : head.num_outputs]
    rows = namespace(outputs).arange(len(outputs) * k) // k
    return head.distribution(outputs[rows], extra)
