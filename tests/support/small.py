"""Small policies and batches, and oracles for them from torch.distributions and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch import distributions as td

from trpo_cli.data.records import Batch
from trpo_cli.estimators.batch import Estimation
from trpo_cli.models.autograd import ModuleNetwork, torch_mlp
from trpo_cli.models.heads import Head, make_head
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policy import Policy
from trpo_cli.models.torch_mlp import TorchMLP

FEATURES = 3
BOX = spaces.Box(-1.0, 1.0, (2,))


class StateBox(spaces.Box):
    """Box actions whose deviation the network gives, with -0.2 for the first log deviation."""


STATE_BOX = StateBox(-1.0, 1.0, (2,))
DISCRETE = spaces.Discrete(3)
MULTI_DISCRETE = spaces.MultiDiscrete([2, 3])
MULTI_BINARY = spaces.MultiBinary(2)
SPACES: list[spaces.Space[Any]] = [BOX, STATE_BOX, DISCRETE, MULTI_DISCRETE, MULTI_BINARY]


def head_for(space: spaces.Space[Any]) -> Head:
    return make_head(space, "rescale", -0.2 if isinstance(space, StateBox) else None)


def make_policy(
    space: spaces.Space[Any] = BOX,
    *,
    seed: int = 0,
    hidden: tuple[int, ...] = (5,),
    dtype: type = np.float64,
    torch_network: bool = False,
    activation: str = "tanh",
    layer_norm: bool = False,
) -> Policy:
    """A policy over three features with parameters far from zero; float64 unless told."""
    head = head_for(space)
    mlp = MLP([FEATURES, *hidden, head.num_outputs], activation, layer_norm=layer_norm)
    generator = np.random.default_rng(seed)
    parameters: np.ndarray = np.zeros(mlp.num_parameters + head.num_extra, dtype)
    mlp.initialize(parameters[: mlp.num_parameters], generator, output_gain=1.0)
    parameters[mlp.num_parameters :] = -0.3 + 0.2 * np.arange(head.num_extra)
    normalizer = Normalizer((FEATURES,), 10.0)
    if torch_network:
        network = ModuleNetwork(torch_mlp(mlp))
        return Policy(network, head, normalizer, network.to_device(parameters))
    return Policy(mlp, head, normalizer, parameters)


def on_tensors(policy: Policy, device: str = "cpu") -> Policy:
    """The same policy on an MLP in torch, as another device than the CPU has it."""
    assert isinstance(policy.network, MLP)
    network = TorchMLP(policy.network, device)
    parameters = network.to_device(policy.parameters.copy())
    return Policy(network, policy.head, policy.normalizer, parameters)


def make_batch(policy: Policy, *, seed: int = 1, size: int = 64) -> Batch:
    """States at random, actions from the policy, standardised random advantages."""
    generator = np.random.default_rng(seed)
    dtype = numpy(policy.parameters).dtype
    observations = generator.standard_normal((size, FEATURES)).astype(np.float32)
    inputs = observations.astype(dtype)
    parameters: Any = policy.parameters
    count = policy.network.num_parameters
    outputs = policy.network.predict(policy.network.views(parameters[:count]), inputs)
    noise = policy.noise(generator, (size,))
    actions = policy.head.act(outputs, numpy(parameters[count:]), noise)
    advantages = generator.standard_normal(size)
    advantages -= advantages.mean()
    advantages /= advantages.std() or 1.0
    return Batch(
        observations=policy.to_device(inputs),
        actions=policy.to_device(actions),
        advantages=policy.to_device(advantages.astype(dtype)),
        features=inputs,
        returns=advantages.astype(dtype),
        values=0.0 * advantages.astype(dtype),
        rewards_to_go=advantages.astype(dtype),
        targets=policy.to_device(advantages.astype(dtype)),
    )


def f32(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def global_generators() -> tuple[bytes, bytes]:
    """The states of the generators that numpy and torch share among everybody."""
    state: Any = np.random.get_state()
    return state[1].tobytes(), torch.get_rng_state().numpy().tobytes()


def numpy(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else x.detach().numpy()


def tensor(x: Any) -> Tensor:
    """A copy as a torch tensor of the same precision."""
    return torch.tensor(numpy(x))


def oracle_parts(space: spaces.Space[Any], outputs: Tensor, extra: Tensor) -> list[td.Distribution]:
    """One torch distribution per column of the actions."""
    if isinstance(space, StateBox):
        mean, u = outputs.T.split(len(outputs.T) // 2)
        std = (3.0 * (u / 3.0).tanh() - 0.2).exp()
        return [td.Normal(*both) for both in zip(mean, std, strict=True)]
    if isinstance(space, spaces.Box):
        count = outputs.shape[1]
        return [td.Normal(outputs[:, j], extra[j].exp()) for j in range(count)]
    if isinstance(space, spaces.MultiBinary):
        return [td.Bernoulli(logits=outputs[:, j]) for j in range(outputs.shape[1])]
    nvec: Any = space.n if isinstance(space, spaces.Discrete) else vars(space)["nvec"]
    sizes = np.atleast_1d(nvec).tolist()
    return [td.Categorical(logits=part) for part in outputs.split(sizes, dim=1)]


def oracle_log_prob(parts: list[td.Distribution], actions: Any) -> Tensor:
    columns = tensor(actions).to(torch.float64).T
    pairs = zip(parts, columns, strict=True)
    return sum((part.log_prob(column) for part, column in pairs), torch.tensor(0.0))


def oracle_entropy(parts: list[td.Distribution]) -> Tensor:
    size = parts[0].batch_shape
    return sum((part.entropy().expand(size) for part in parts), torch.tensor(0.0))


def oracle_kl(old: list[td.Distribution], new: list[td.Distribution]) -> Tensor:
    """KL(old || new) in every state."""
    pairs = zip(old, new, strict=True)
    return sum((td.kl_divergence(p, q) for p, q in pairs), torch.tensor(0.0))


def oracle_policy(
    policy: Policy, space: spaces.Space[Any], observations: Any
) -> Callable[[Tensor], list[td.Distribution]]:
    """theta -> torch distributions at the batch's states, for autograd in theta."""
    network = policy.network
    module = network if isinstance(network, ModuleNetwork) else None
    if module is None:
        assert isinstance(network, MLP)
        module = ModuleNetwork(torch_mlp(network))
    inputs = tensor(observations)

    def parts(theta: Tensor) -> list[td.Distribution]:
        outputs = module.forward(theta[: module.num_parameters], inputs)
        return oracle_parts(space, outputs, theta[module.num_parameters :])

    return parts


def explicit_fisher(policy: Policy, space: spaces.Space[Any], observations: Any) -> np.ndarray:
    """Hessian of mean KL(old || new) in theta at equal policies, (P, P)."""
    parts = oracle_policy(policy, space, observations)
    theta = tensor(policy.parameters)
    old = parts(theta)
    hessian: Any = torch.autograd.functional.hessian(
        lambda new: oracle_kl(old, parts(new)).mean(), theta
    )
    return hessian.numpy()


def estimate(*args: Any, **settings: Any) -> Batch:
    """The batch that trajectories are, with V as it is: arguments of `Estimation`."""
    return Estimation(*args, **settings).batch()
