"""A policy as one torch module, from the observation to the action: what every format is made of.

It reads observations as the environment gives them, (B, *obs), float32 or images as bytes. Its
outputs are a tuple in the order of `names`:

    action       (B, *act), the most likely one as the environment takes it
    mean, std    (B, *act), float actions: where the action is not squashed, in the environment's
                 units and not yet clipped; where it is, before tanh
    logits       (B, D), others: of the choices, those of the first number first; of each coin
    state        (B, S), of a policy that remembers: what it remembers after the observation, from a
                 second input of that name, what it remembered before; zeros where an episode begins
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from trpo_cli.data.frames import colours_last
from trpo_cli.errors import UserError
from trpo_cli.maths.state_gaussian import SPREAD
from trpo_cli.models.autograd import ModuleNetwork, torch_mlp
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.heads import BernoulliHead, CategoricalHead, GaussianHead
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import IdentityNormalizer, Normalizer
from trpo_cli.models.policy import Policy
from trpo_cli.models.recurrent import RecurrentNetwork
from trpo_cli.simulators.base import Simulator

STATE = "state"
"""The name of what a policy remembers."""


class Whitening(nn.Module):
    """clip((x - mean) / std, -bound, bound) of observations (B, *obs), as rows of numbers."""

    def __init__(self, normalizer: Normalizer) -> None:
        super().__init__()
        mean, scale = normalizer.affine()
        self.bound = normalizer.bound if normalizer.enabled else math.inf
        self.mean = nn.Buffer(torch.from_numpy(mean.copy()))
        self.scale = nn.Buffer(torch.from_numpy(scale.copy()))

    def forward(self, observation: Tensor) -> Tensor:
        x = observation.reshape(-1, len(self.mean))
        return ((x - self.mean) * self.scale).clamp(-self.bound, self.bound)


class Pixels(nn.Module):
    """Bytes as numbers from 0 to 1, channels first."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.last = last

    def forward(self, observation: Tensor) -> Tensor:
        x = observation.permute(0, 3, 1, 2) if self.last else observation
        return x.to(torch.float32) * (1.0 / 255.0)


class GaussianOutputs(nn.Module):
    names = ("action", "mean", "std")
    factor: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    mean_factor: Tensor
    mean_offset: Tensor
    log_std: Tensor

    def __init__(self, head: GaussianHead, log_std: np.ndarray, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.by_state = shape, head.first_log_std is not None
        if head.first_log_std is not None:
            log_std = np.full(head.size, head.first_log_std)
        factor, offset, low, high = head.affine()
        if head.raw:
            low, high = np.full_like(low, -np.inf), np.full_like(high, np.inf)
        squashed = head.squashed
        for name, value in {
            "factor": factor,
            "offset": offset,
            "low": low,
            "high": high,
            "mean_factor": np.where(squashed, 1.0, factor),
            "mean_offset": np.where(squashed, 0.0, offset),
            "log_std": log_std,
        }.items():
            setattr(self, name, nn.Buffer(torch.from_numpy(value.astype(np.float32))))
        self.squashed = nn.Buffer(torch.from_numpy(squashed))

    def forward(self, outputs: Tensor) -> tuple[Tensor, ...]:
        size, log_std = len(self.factor), self.log_std
        if self.by_state:
            log_std = log_std + SPREAD * (outputs[:, size:] / SPREAD).tanh()
        z = outputs[:, :size]
        a = torch.where(self.squashed, z.tanh(), z) * self.factor + self.offset
        action = torch.minimum(torch.maximum(a, self.low), self.high)
        mean = z * self.mean_factor + self.mean_offset
        std = (log_std.exp() * self.mean_factor).expand_as(mean)
        return tuple(x.reshape(-1, *self.shape) for x in (action, mean, std))


class CategoricalOutputs(nn.Module):
    names = ("action", "logits")

    def __init__(self, head: CategoricalHead, single: bool, start: int | np.ndarray) -> None:
        super().__init__()
        self.sizes, self.single = head.sizes, single
        self.start = nn.Buffer(torch.as_tensor(np.asarray(start, dtype=np.int64)))

    def forward(self, outputs: Tensor) -> tuple[Tensor, ...]:
        chosen = [part.argmax(1) for part in outputs.split(self.sizes, 1)]
        return (chosen[0] if self.single else torch.stack(chosen, 1)) + self.start, outputs


class BernoulliOutputs(nn.Module):
    names = ("action", "logits")

    def forward(self, outputs: Tensor) -> tuple[Tensor, ...]:
        return (outputs > 0.0).to(torch.int8), outputs


class RecurrentModule(nn.Module):
    """`models.recurrent.RecurrentNetwork`, one step: inputs (B, d) and states (B, S) -> outputs
    (B, D) and states (B, S). The equations are those of `models.cells`."""

    def __init__(self, network: RecurrentNetwork) -> None:
        super().__init__()
        self.units, self.kind = network.units, network.kind
        self.state_size = network.state_size
        self.weight = nn.Parameter(torch.zeros(network.inputs, network.width))
        self.bias = nn.Parameter(torch.zeros(network.width))
        self.recurrent = nn.Parameter(torch.zeros(network.units, network.width))
        self.behind = torch_mlp(network.head)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a, p = x @ self.weight + self.bias, state[:, : self.units] @ self.recurrent
        if self.kind == "gru":
            (a_r, a_z, a_n), (p_r, p_z, p_n) = a.chunk(3, 1), p.chunk(3, 1)
            r, z = (a_r + p_r).sigmoid(), (a_z + p_z).sigmoid()
            n = (a_n + r * p_n).tanh()
            after = n + z * (state - n)
        else:
            i, f, q, o = (a + p).chunk(4, 1)
            c = f.sigmoid() * state[:, self.units :] + i.sigmoid() * q.tanh()
            after = torch.cat([o.sigmoid() * c.tanh(), c], 1)
        return self.behind(torch.cat([x, after[:, : self.units]], 1)), after


class ActingModule(nn.Module):
    """reading, network, head: observation (B, *obs), and a state where there is one, called
    `inputs` -> the outputs called `names`."""

    def __init__(self, reading: nn.Module, network: nn.Module, columns: int, head: Any) -> None:
        super().__init__()
        self.reading, self.network, self.head = reading, network, head
        self.columns, self.names = columns, head.names
        self.inputs: tuple[str, ...] = ("observation",)
        if isinstance(network, RecurrentModule):
            self.inputs, self.names = (*self.inputs, STATE), (*self.names, STATE)

    def example(self, observations: np.ndarray) -> tuple[Tensor, ...]:
        """Inputs with these observations, where episodes begin."""
        seen = torch.from_numpy(observations)
        if not isinstance(self.network, RecurrentModule):
            return (seen,)
        return seen, torch.zeros(len(seen), self.network.state_size)

    def forward(self, observation: Tensor, state: Tensor | None = None) -> tuple[Tensor, ...]:
        if state is not None:
            found, after = self.network(self.reading(observation), state)
            return (*self.head(found), after)
        # A network that gives V(s) too has it in one more column.
        outputs: tuple[Tensor, ...] = self.head(
            self.network(self.reading(observation))[:, : self.columns]
        )
        return outputs


def acting_module(policy: Policy, simulator: Simulator) -> ActingModule:
    """The policy as it is now, on the CPU in float32, for the environments of a simulator.

    Raises `UserError` for a policy whose parts are somebody else's and no torch module.
    """
    size, parameters = policy.network.num_parameters, _tensor(policy.parameters)
    network = _network(policy.network)
    torch.nn.utils.vector_to_parameters(parameters[:size], network.parameters())
    reading: nn.Module
    if isinstance(policy.normalizer, Normalizer):
        reading = Whitening(policy.normalizer)
    elif isinstance(policy.normalizer, IdentityNormalizer):
        reading = Pixels(colours_last(simulator.observation_space.shape))
    else:
        raise _unknown("normaliser", policy.normalizer)
    head = _head(policy.head, parameters[size:].numpy(), simulator)
    module = ActingModule(reading, network, policy.head.num_outputs, head)
    return module.eval().requires_grad_(False)


def compute_in_float32(policy: Policy) -> bool:
    """Let a policy compute in float32, in which its parameters are. Returns whether it did not."""
    network = policy.network
    if not isinstance(network, ConvNet) or network.dtype == torch.float32:
        return False
    network.dtype = torch.float32
    return True


def _network(network: Any) -> nn.Module:
    if isinstance(network, MLP):
        return torch_mlp(network)
    if isinstance(network, ModuleNetwork):
        return copy.deepcopy(network.module).cpu()
    if isinstance(network, ConvNet):
        return conv_module(network)
    if isinstance(network, RecurrentNetwork):
        return RecurrentModule(network)
    raise _unknown("network", network)


def conv_module(network: ConvNet) -> nn.Sequential:
    """The same function of the same flat vector, of numbers from 0 to 1."""
    layers_of = network.views(torch.empty(network.num_parameters, device="meta"))
    shapes = [tuple(weight.shape) for weight, _ in layers_of]
    activation = nn.ReLU if network.activation == "relu" else nn.Tanh
    layers: list[nn.Module] = []
    for (outputs, inputs, kernel, _), stride in zip(shapes, network.strides, strict=False):
        layers += [nn.Conv2d(inputs, outputs, kernel, stride), activation()]
    (hidden, features), (outputs, _) = shapes[-2:]
    layers += [nn.Flatten(), nn.Linear(features, hidden), activation()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


def _head(head: Any, extra: np.ndarray, simulator: Simulator) -> nn.Module:
    space = simulator.action_space
    if isinstance(head, GaussianHead):
        return GaussianOutputs(head, extra, space.shape or ())
    if isinstance(head, CategoricalHead):
        single = isinstance(space, spaces.Discrete)
        return CategoricalOutputs(head, single, simulator.action_start)
    if isinstance(head, BernoulliHead):
        return BernoulliOutputs()
    raise _unknown("head", head)


def _tensor(parameters: Any) -> Tensor:
    array = parameters if isinstance(parameters, np.ndarray) else parameters.cpu().numpy()
    return torch.from_numpy(array.astype(np.float32))


def _unknown(what: str, found: Any) -> UserError:
    return UserError(
        f"The policy's {what} is {type(found).__name__}, which cannot be exported: a torch module "
        "and the package's own can. `trpo_cli.load` gives the policy itself."
    )
