"""Any torch module behind the interface of `models.mlp`: products with J by autograd.

Slower than the closed form and independent of it, so it is also the oracle in its tests.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from trpo_cli.models.heads import make_head
from trpo_cli.models.mlp import MLP, NORM_EPS
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policy import Policy


class ModuleLinearization:
    """Outputs (B, D) of a module at a batch, and products with its Jacobian."""

    def __init__(self, network: ModuleNetwork, flat: Tensor, inputs: Tensor) -> None:
        def forward(parameters: Tensor) -> Tensor:
            return network.forward(parameters, inputs)

        self._forward, self._flat = forward, flat.detach().clone()
        answer: Any = torch.func.vjp(forward, self._flat)
        self.outputs, self._vjp = answer
        self._jvp: Any = None

    def vjp(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """J' u summed over the batch: u (B, D) -> (P,), written into `out` when given."""
        gradient: Tensor = self._vjp(u)[0]
        return gradient if out is None else out.copy_(gradient)

    def jvp(self, v: Tensor) -> Tensor:
        """J v: v (P,) -> (B, D). The forward pass is traced once and reused for every v."""
        if self._jvp is None:
            with warnings.catch_warnings():  # torch's own, about its inner workings
                warnings.simplefilter("ignore")
                _, self._jvp = torch.func.linearize(self._forward, self._flat)
        tangent: Tensor = self._jvp(v)
        return tangent


class ModuleNetwork:
    """A stateless view of an `nn.Module`: parameters come from a flat vector (P,), in the order
    of `module.named_parameters()`."""

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        self.module, self.device = module, device
        self._lock = threading.Lock()
        self._shapes = {name: p.shape for name, p in module.named_parameters()}
        self.num_parameters = sum(shape.numel() for shape in self._shapes.values())

    def views(self, flat: Tensor) -> Tensor:
        """What `linearize` and `predict` take; the flat vector itself."""
        return flat

    def to_device(self, x: np.ndarray | Tensor) -> Tensor:
        """x as this network's kind of array."""
        return torch.as_tensor(x, device=self.device)

    def forward(self, flat: Tensor, inputs: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        parameters = {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        with self._lock:  # torch lends the module the parameters meanwhile; samplers have threads
            outputs: Tensor = torch.func.functional_call(self.module, parameters, (inputs,))
        return outputs

    def linearize(self, flat: Tensor, inputs: Tensor) -> ModuleLinearization:
        return ModuleLinearization(self, flat, inputs)

    def outputs(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """Outputs (B, D) alone."""
        with torch.no_grad():
            return self.forward(flat, inputs)

    def predict(self, flat: Tensor, inputs: np.ndarray | Tensor) -> np.ndarray:
        """The same as numpy."""
        outputs: np.ndarray = self.outputs(flat, self.to_device(inputs)).cpu().numpy()
        return outputs


class Affine(nn.Module):
    """x W + b with W (inputs, outputs), so that the flat vector is laid out as `MLP` has it."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}


def torch_mlp(shape: MLP) -> nn.Module:
    """The same function of the same flat vector as a torch module."""
    layers: list[nn.Module] = []
    for n, m in pairwise(shape.sizes):
        if layers:
            if shape.layer_norm:
                layers.append(nn.LayerNorm(n, NORM_EPS, elementwise_affine=False))
            layers.append(ACTIVATIONS[shape.activation]())
        layers.append(Affine(n, m, shape.bias))
    return nn.Sequential(*layers)


def flat_module(
    build: Callable[[], nn.Module], generator: np.random.Generator, device: str = "cpu"
) -> tuple[ModuleNetwork, Tensor]:
    """A module as a network, and its first parameters on one flat vector (P,).

    Layers that behave otherwise in training (dropout, batch normalisation) are put into evaluation
    mode: the network is one function. generator: decides what torch draws for the parameters.
    """
    with torch.random.fork_rng(devices=[]):  # the global generator is nobody's
        torch.manual_seed(int(generator.integers(2**63)))
        module = build().eval().to(device)
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
    return ModuleNetwork(module, device), flat.float()


def module_policy(
    build: Callable[[int, int], nn.Module],
    observation_space: spaces.Box,
    action_space: spaces.Space[Any],
    generator: np.random.Generator,
    device: str = "cpu",
    *,
    init_log_std: float = -1.0,
    actions: str = "rescale",
    normalize_observations: bool = True,
    observation_clip: float = 10.0,
) -> Policy:
    """A policy on any torch module, for every update rule: gradients and Fisher products are
    autograd's.

    build: from the numbers of inputs n and outputs D to a module that maps (B, n) float32 to
        (B, D). It and `generator`: see `flat_module`.
    init_log_std, actions: of Box actions, see `heads.GaussianHead`.
    normalize_observations, observation_clip: see `normalizer.Normalizer`.
    """
    head = make_head(action_space, actions)
    inputs = math.prod(observation_space.shape)
    network, flat = flat_module(lambda: build(inputs, head.num_outputs), generator, device)
    extra = torch.full((head.num_extra,), init_log_std, device=device)
    normalizer = Normalizer(observation_space.shape, observation_clip, normalize_observations)
    return Policy(network, head, normalizer, torch.cat([flat, extra]))
