"""What several value functions have in common."""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.maths.schedule import SCHEDULES
from trpo_cli.settings import setting


@dataclass
class RegressionConfig:
    """The settings of a network that is fitted to returns (`models.value.Value`)."""

    learning_rate: float = setting(help="Adam's step size", above=0)
    schedule: str = setting(help="step size over training", choices=SCHEDULES)
    epochs: int = setting(help="passes over each batch", low=1)
    minibatch_size: int | None = setting(
        help="samples per Adam step, at most the batch; null: all of it", low=1
    )
    max_grad_norm: float | None = setting(help="clip the gradient's norm; null: never", above=0)
    normalize_targets: bool = setting(help="fit standardised returns (outputs preserved)")
