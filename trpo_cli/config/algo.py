"""The settings of the group `algo`: one dataclass per update rule."""

from __future__ import annotations

from dataclasses import dataclass

from trpo_cli.maths.schedule import SCHEDULES
from trpo_cli.settings import setting


@dataclass
class VPGConfig:
    """Vanilla policy gradient: theta + alpha grad J."""

    name: str = setting("vpg", "the update rule", choices=["vpg"])
    learning_rate: float = setting(1e-3, "step size", above=0)
    optimizer: str = setting("adam", "how the gradient is applied", choices=["adam", "sgd"])
    schedule: str = setting("constant", "step size over training", choices=SCHEDULES)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus", low=0)
    max_grad_norm: float | None = setting(None, "clip the gradient's norm; null: never", above=0)


@dataclass
class NPGConfig:
    """Natural policy gradient: theta + alpha F^-1 grad J (Kakade 2001)."""

    name: str = setting("npg", "the update rule", choices=["npg"])
    step_rule: str = setting(
        "normalized",
        "normalized: alpha = sqrt(2 max_kl / g'F^-1 g); fixed: alpha = step_size",
        choices=["normalized", "fixed"],
    )
    max_kl: float = setting(0.01, "trust-region size of the normalized step, nats", above=0)
    schedule: str = setting("constant", "step length over training", choices=SCHEDULES)
    step_size: float = setting(0.1, "alpha of the fixed step", above=0)
    cg_iterations: int = setting(10, "conjugate-gradient iterations", low=1)
    cg_tolerance: float = setting(1e-10, "stop below this squared residual", low=0)
    damping: float = setting(0.1, "added to the Fisher matrix's diagonal", low=0)
    fisher_fraction: float = setting(0.25, "share of the batch in Fisher products", above=0, high=1)
    fisher: str = setting(
        "kl_hessian",
        "the Fisher matrix: kl_hessian, of the mean KL, over states; empirical, the mean of "
        "grad log pi grad log pi' over the sampled actions",
        choices=["kl_hessian", "empirical"],
    )


@dataclass
class TRPOConfig:
    """Trust region policy optimisation (Schulman et al. 2015)."""

    name: str = setting("trpo", "the update rule", choices=["trpo"])
    max_kl: float = setting(0.01, "bound on the batch's mean KL(old || new), nats", above=0)
    schedule: str = setting("constant", "max_kl over training", choices=SCHEDULES)
    cg_iterations: int = setting(10, "conjugate-gradient iterations", low=1)
    cg_tolerance: float = setting(1e-10, "stop below this squared residual", low=0)
    damping: float = setting(0.1, "added to the Fisher matrix's diagonal", low=0)
    fisher_fraction: float = setting(0.25, "share of the batch in Fisher products", above=0, high=1)
    fisher: str = setting(
        "kl_hessian",
        "the Fisher matrix: kl_hessian, of the mean KL, over states; empirical, the mean of "
        "grad log pi grad log pi' over the sampled actions",
        choices=["kl_hessian", "empirical"],
    )
    backtrack_ratio: float = setting(0.8, "shrink per line-search trial", above=0, below=1)
    max_backtracks: int = setting(10, "line-search trials after the first", low=0)


@dataclass
class MinibatchConfig:
    """Epochs of shuffled minibatches and Adam."""

    name: str = setting("", "the update rule")
    epochs: int = setting(10, "passes over each batch", low=1)
    minibatch_size: int | None = setting(
        64, "samples per Adam step, at most the batch; null: all of it", low=1
    )
    learning_rate: float = setting(3e-4, "Adam's step size", above=0)
    schedule: str = setting("cooldown", "step size over training", choices=SCHEDULES)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus", low=0)
    max_grad_norm: float | None = setting(0.5, "clip the gradient's norm; null: never", above=0)


@dataclass
class PPOConfig(MinibatchConfig):
    """Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017)."""

    name: str = setting("ppo", "the update rule", choices=["ppo"])
    objective: str = setting(
        "clip",
        "clip: min(r A, clip(r) A); clip_only: clip(r) A, without the min; unclipped: r A",
        choices=["clip", "clip_only", "unclipped"],
    )
    clip_range: float = setting(0.2, "bound on |ratio - 1|", above=0)
    target_kl: float | None = setting(
        None, "stop the epochs when the batch's mean KL passes this, nats; null: never", above=0
    )


@dataclass
class PPOPenaltyConfig(MinibatchConfig):
    """Proximal policy optimisation with a KL penalty (Schulman et al. 2017, section 4)."""

    name: str = setting("ppo_penalty", "the update rule", choices=["ppo_penalty"])
    kl_coef: float = setting(
        1.0, "beta, the weight of the mean KL; the first one, if adapted", low=0
    )
    kl_target: float | None = setting(
        0.01,
        "mean KL per update that beta is adapted to, nats: halved below 2/3 of it, doubled above "
        "3/2; null: beta stays",
        above=0,
    )


@dataclass
class DualConfig(MinibatchConfig):
    """Dual gradient descent on the bound of the mean KL: r A - lambda (KL - max_kl)."""

    name: str = setting("dual", "the update rule", choices=["dual"])
    max_kl: float = setting(0.01, "delta, the bound on the batch's mean KL(old || new)", above=0)
    multiplier: float = setting(1.0, "the first lambda", low=0)
    multiplier_step: float = setting(
        0.5, "what lambda grows by in an update whose KL is twice max_kl", above=0
    )


@dataclass
class ESConfig:
    """Evolution strategies: gradient ascent on a smoothed return (Salimans et al. 2017)."""

    name: str = setting("es", "the update rule", choices=["es"])
    sigma: float = setting(0.1, "standard deviation of the perturbations", above=0)
    learning_rate: float = setting(0.05, "step size", above=0)
    schedule: str = setting("constant", "step size over training", choices=SCHEDULES)
    optimizer: str = setting("adam", "how the gradient is applied", choices=["adam", "sgd"])
    shaping: str = setting(
        "ranks", "what scores count for: their ranks, or themselves", choices=["ranks", "none"]
    )
