"""The settings of the group `value`: one dataclass per option."""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.maths.schedule import SCHEDULES
from trpo_cli.settings import setting


@dataclass
class CNNValueConfig:
    """State value V(s) of images by a network of its own, shaped as the policy's."""

    name: str = setting("cnn", "the value function", choices=["cnn"])
    learning_rate: float = setting(5e-4, "Adam's step size", above=0)
    schedule: str = setting("constant", "step size over training", choices=SCHEDULES)
    epochs: int = setting(1, "passes over each batch", low=1)
    minibatch_size: int | None = setting(
        256, "samples per Adam step, at most the batch; null: all of it", low=1
    )
    max_grad_norm: float | None = setting(None, "clip the gradient's norm; null: never", above=0)
    normalize_targets: bool = setting(True, "fit standardised returns (outputs preserved)")


@dataclass
class SharedValueConfig:
    """State value V(s) on the policy's own convolutions.

    VPG and the rules with minibatches (PPO, its penalty, dual) add its squared error to their loss;
    NPG and TRPO, whose step no other loss may bend, fit a linear function of the last hidden layer.
    """

    name: str = setting("shared", "the value function", choices=["shared"])
    coef: float = setting(
        0.5, "VPG, PPO, dual: weight of the mean squared error in the loss", above=0
    )
    ridge: float = setting(
        1e-3, "NPG, TRPO: weight of the squared coefficients beside the mean squared error", above=0
    )


@dataclass
class MLPValueConfig:
    """State value V(s) by regression on the returns."""

    name: str = setting("mlp", "the value function", choices=["mlp"])
    hidden_sizes: list[int] = setting([64, 64], "units of each hidden layer", low=1)
    activation: str = setting("tanh", "hidden activation", choices=["tanh", "relu"])
    learning_rate: float = setting(1e-3, "Adam's step size", above=0)
    schedule: str = setting("constant", "step size over training", choices=SCHEDULES)
    epochs: int = setting(5, "passes over each batch", low=1)
    minibatch_size: int | None = setting(
        128, "samples per Adam step, at most the batch; null: all of it", low=1
    )
    max_grad_norm: float | None = setting(None, "clip the gradient's norm; null: never", above=0)
    normalize_targets: bool = setting(True, "fit standardised returns (outputs preserved)")


@dataclass
class QuadraticValueConfig:
    """State value V(s) = s'Ps + p's + c by least squares on the returns.

    Exact where the dynamics are linear and the costs quadratic.
    """

    name: str = setting("quadratic", "the value function", choices=["quadratic"])
    ridge: float = setting(
        1e-6, "weight of the squared coefficients beside the mean squared error", above=0
    )


@dataclass
class NoValueConfig:
    """No value function, V = 0: what would follow where a trajectory is cut is missing."""

    name: str = setting("none", "the value function", choices=["none"])


@dataclass
class AutoValueConfig(MLPValueConfig):
    """mlp for vectors of numbers; for images shared, or cnn with NPG and TRPO."""

    name: str = setting("auto", "the value function", choices=["auto"])
