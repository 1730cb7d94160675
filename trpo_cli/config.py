"""The configuration: one dataclass per group option, and the checks across groups.

The top level is `Config`. The groups (`env`, `sampler`, `algo`, `policy`, `value`) each hold one of
several dataclasses; `GROUPS` lists them. Defaults here are those of the algorithm papers or of a
measured sweep; YAML files under ``conf/`` may set what one algorithm or environment needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.maths.schedule import SCHEDULES
from trpo_cli.settings import check_ranges, setting

ATARI_ID = re.compile(r"^ALE/|^ale_py:|(NoFrameskip|Deterministic)-v\d+$")
"""Names of Atari games that say so."""


@dataclass
class AtariConfig:
    """Preprocessing of Atari games; other environments have none of it."""

    frame_skip: int | None = setting(
        None, "Atari: frames per step; null: the id's own, 4 for NoFrameskip", low=1
    )
    max_pool: bool = setting(True, "Atari: see the maximum of the last two frames of a step")
    frame_height: int | None = setting(None, "Atari: pixels; null: 84", low=8, high=512)
    frame_width: int | None = setting(None, "Atari: pixels; null: 84", low=8, high=512)
    frame_stack: int = setting(4, "Atari: newest frames in an observation", low=1, high=64)
    noop_max: int = setting(30, "Atari: most frames of doing nothing before an episode", low=0)
    fire_reset: bool = setting(
        True, "Atari: press FIRE, where a game has it, at the start and after each lost life"
    )
    life_loss_terminal: bool = setting(
        True, "Atari: for learning only, a lost life ends the future; the episode goes on"
    )
    clip_rewards: bool = setting(
        True, "Atari: learn from the sign of the reward; reported returns are the game's own"
    )
    sticky_actions: float | None = setting(
        None,
        "Atari: probability that a frame repeats the action before; null: the id's own (0.25 for "
        "ALE/*-v5, 0 for NoFrameskip-v4)",
        low=0,
        below=1,
    )
    full_action_space: bool | None = setting(
        None, "Atari: all 18 actions instead of those a game uses; null: the id's own"
    )


@dataclass
class EnvConfig:
    id: str = setting("Hopper-v4", "Gymnasium id; module:Id-v0 imports the module first")
    kwargs: dict[str, Any] = setting({}, "keyword arguments for the environment's constructor")
    max_episode_steps: int | None = setting(
        None, "time limit in steps; null keeps the registered one", low=1
    )
    atari: AtariConfig = field(default_factory=AtariConfig)


@dataclass
class SinglePathConfig:
    """Trajectories from the start distribution (TRPO paper, section 5.1)."""

    name: str = setting("single_path", "the sampler", choices=["single_path"])
    num_envs: int = setting(16, "environments stepped together", low=1)
    steps_per_env: int = setting(128, "steps of each environment per iteration", low=1)
    groups: int = setting(
        2,
        "parts of the environments, each stepped by a thread of its own; at most num_envs",
        low=1,
    )


@dataclass
class VineConfig(SinglePathConfig):
    """Trunk trajectories, and short rollouts of several actions from states along them (TRPO
    paper, section 5.2)."""

    name: str = setting("vine", "the sampler", choices=["vine"])
    rollout_states: int = setting(
        64, "states of the trunk to branch from, per iteration (choose=all: every one)", low=1
    )
    choose: str = setting(
        "random",
        "which states: random, a fixed stride along the trunks, or all",
        choices=["random", "stride", "all"],
    )
    actions: int = setting(4, "actions tried in each state (proposal=all: every one)", low=1)
    proposal: str = setting(
        "policy",
        "how actions are drawn: from the policy, uniformly, or all of a discrete space, once each",
        choices=["policy", "uniform", "all"],
    )
    rollouts_per_action: int = setting(1, "rollouts of each action, averaged", low=1)
    horizon: int = setting(20, "steps of a rollout, the first action's included", low=1)
    common_random_numbers: bool = setting(
        True, "the rollouts of a state's actions share the noise of policy and simulator"
    )
    bootstrap: bool = setting(
        True, "add the value function at the end of a rollout that was cut (the paper does not)"
    )
    width: int | None = setting(
        None, "rollouts simulated together; null: 1024 on MuJoCo, 64 Atari games, 256 others", low=1
    )
    compare_states: int = setting(
        0,
        "states in which two actions are also rolled out twice with common and twice with "
        "independent random numbers, to measure what common ones save (their steps count)",
        low=0,
    )


@dataclass
class MLPPolicyConfig:
    """Gaussian or categorical policy with a multi-layer perceptron."""

    name: str = setting("mlp", "the policy", choices=["mlp"])
    hidden_sizes: list[int] = setting([64, 64], "units of each hidden layer", low=1)
    activation: str = setting("tanh", "hidden activation", choices=["tanh", "relu"])
    output_gain: float = setting(0.01, "gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(-1.0, "first log standard deviation (continuous actions)")
    normalize_observations: bool = setting(True, "running mean and variance of observations")
    observation_clip: float = setting(10.0, "bound on normalised observations", above=0)
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )


@dataclass
class LinearPolicyConfig:
    """Linear-Gaussian policy u ~ N(Wx + b, sigma), or softmax of a linear map."""

    name: str = setting("linear", "the policy", choices=["linear"])
    bias: bool = setting(True, "add a constant term")
    output_gain: float = setting(0.01, "gain of the orthogonal start", low=0)
    init_log_std: float = setting(-0.5, "first log standard deviation (continuous actions)")
    normalize_observations: bool = setting(True, "running mean and variance of observations")
    observation_clip: float = setting(10.0, "bound on normalised observations", above=0)
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )


@dataclass
class AutoPolicyConfig(MLPPolicyConfig):
    """mlp for vectors of numbers; for pictures nature_cnn, or trpo_cnn with NPG and TRPO."""

    name: str = setting("auto", "the policy", choices=["auto"])


@dataclass
class NatureCNNPolicyConfig:
    """Three convolutions and 512 units (Mnih et al. 2015), for pictures."""

    name: str = setting("nature_cnn", "the policy", choices=["nature_cnn"])
    hidden_size: int = setting(512, "units of the layer behind the convolutions", low=1)
    activation: str = setting("relu", "hidden activation", choices=["tanh", "relu"])
    output_gain: float = setting(0.01, "gain of the last layer's orthogonal start", low=0)
    init_log_std: float = setting(-1.0, "first log standard deviation (continuous actions)")
    actions: str = setting(
        "rescale",
        "bounded actions: rescale [-1, 1] to the bounds, clip at them, or raw",
        choices=["rescale", "clip", "raw"],
    )
    precision: str = setting(
        "auto",
        "what the layers compute in (parameters and the last layer stay float32); auto: bfloat16 "
        "for VPG and PPO where the processor is made for it, otherwise float32",
        choices=["auto", "float32", "bfloat16"],
    )


@dataclass
class TRPOCNNPolicyConfig(NatureCNNPolicyConfig):
    """Two convolutions of 16 channels and 20 units (Schulman et al. 2015), for pictures."""

    name: str = setting("trpo_cnn", "the policy", choices=["trpo_cnn"])
    hidden_size: int = setting(20, "units of the layer behind the convolutions", low=1)


@dataclass
class CNNValueConfig:
    """State value V(s) of pictures by a network of its own, shaped as the policy's."""

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

    VPG and PPO add its squared error to their loss; NPG and TRPO, whose step no other loss may
    bend, fit a linear function of the last hidden layer.
    """

    name: str = setting("shared", "the value function", choices=["shared"])
    coef: float = setting(0.5, "VPG, PPO: weight of the mean squared error in the loss", above=0)
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
class AutoValueConfig(MLPValueConfig):
    """mlp for vectors of numbers; for pictures shared, or cnn with NPG and TRPO."""

    name: str = setting("auto", "the value function", choices=["auto"])


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
    backtrack_ratio: float = setting(0.8, "shrink per line-search trial", above=0, below=1)
    max_backtracks: int = setting(10, "line-search trials after the first", low=0)


@dataclass
class PPOConfig:
    """Proximal policy optimisation with the clipped surrogate (Schulman et al. 2017)."""

    name: str = setting("ppo", "the update rule", choices=["ppo"])
    clip_range: float = setting(0.2, "bound on |ratio - 1|", above=0)
    epochs: int = setting(10, "passes over each batch", low=1)
    minibatch_size: int | None = setting(
        64, "samples per Adam step, at most the batch; null: all of it", low=1
    )
    learning_rate: float = setting(3e-4, "Adam's step size", above=0)
    schedule: str = setting("cooldown", "step size over training", choices=SCHEDULES)
    entropy_coef: float = setting(0.0, "weight of the entropy bonus", low=0)
    max_grad_norm: float | None = setting(0.5, "clip the gradient's norm; null: never", above=0)
    target_kl: float | None = setting(
        None, "stop the epochs when the batch's mean KL passes this, nats; null: never", above=0
    )


@dataclass
class AdvantageConfig:
    gae_lambda: float = setting(0.95, "lambda of the advantage estimator", low=0, high=1)
    standardize: bool = setting(True, "subtract the batch's mean, divide by its standard deviation")


@dataclass
class EvalConfig:
    every: int = setting(0, "environment steps between evaluations; 0: only at the end", low=0)
    episodes: int = setting(
        20, "episodes of the final evaluation and of each one in training; 0: none", low=0
    )
    deterministic: bool = setting(False, "take the most likely action instead of sampling")


@dataclass
class CheckpointConfig:
    every: int = setting(0, "environment steps between checkpoints; 0: by time only", low=0)
    minutes: float = setting(
        2.0,
        "a checkpoint also once this many minutes have passed since the last; 0: never by time",
        low=0,
    )
    keep: int = setting(2, "newest step checkpoints to keep, besides best and last", low=1)


@dataclass
class Config:
    seed: int | None = setting(None, "root of every random stream; null draws one", low=0)
    total_steps: int = setting(
        1_000_000,
        "environment steps to train for; linear schedules reach zero there, so a resumed run "
        "given a new total follows the new schedule from where it is",
        low=1,
    )
    discount: float = setting(0.99, "gamma", low=0, high=1)
    device: str = setting("auto", "where networks run", choices=["auto", "cpu", "cuda"])
    threads: int | None = setting(None, "CPU threads of this run; null: every core", low=1)
    debug: bool = setting(False, "show tracebacks")
    resume: str | None = setting(
        None,
        "directory of a run to go on with, in its own configuration; only total_steps, device, "
        "threads, debug, checkpoint.* and eval.* may be given with it",
    )
    env: EnvConfig = field(default_factory=EnvConfig)
    sampler: Any = field(default_factory=SinglePathConfig)
    algo: Any = field(default_factory=TRPOConfig)
    policy: Any = field(default_factory=AutoPolicyConfig)
    value: Any = field(default_factory=AutoValueConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


CHANGEABLE = ("total_steps", "device", "threads", "debug", "checkpoint.", "eval.")
"""What a resumed run may change: keys, and sections with a dot."""


def may_change(key: str) -> bool:
    """Whether a resumed run may set `key`: nothing that its rows so far depend on."""
    return any(key == name or (name[-1] == "." and key.startswith(name)) for name in CHANGEABLE)


GROUPS: dict[str, dict[str, type]] = {
    "algo": {"vpg": VPGConfig, "npg": NPGConfig, "trpo": TRPOConfig, "ppo": PPOConfig},
    "sampler": {"single_path": SinglePathConfig, "vine": VineConfig},
    "policy": {
        "auto": AutoPolicyConfig,
        "mlp": MLPPolicyConfig,
        "linear": LinearPolicyConfig,
        "nature_cnn": NatureCNNPolicyConfig,
        "trpo_cnn": TRPOCNNPolicyConfig,
    },
    "value": {
        "auto": AutoValueConfig,
        "mlp": MLPValueConfig,
        "cnn": CNNValueConfig,
        "shared": SharedValueConfig,
    },
}


def conf_dir() -> Path:
    """The folder of YAML files: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def validate(config: Config) -> None:
    """Check every range and every combination that can be judged without an environment.

    Raises `UserError` naming the key, the value received and what to try.
    """
    check_ranges(config)
    if config.eval.every and not config.eval.episodes:
        raise UserError(
            f"eval.every={config.eval.every} asks for evaluations and eval.episodes=0 for none; "
            "give eval.episodes a number, or leave eval.every out."
        )
    if config.sampler.name == "vine" and config.algo.name == "ppo":
        raise UserError(
            "sampler=vine cannot be combined with algo=ppo: its clip bounds the probability ratio "
            "of sampled actions one by one, and the vine's objective has none. Try algo=trpo."
        )


def config_to_yaml(config: Config) -> str:
    """The text of a run's ``config.yaml``: every setting, nothing left to interpolate."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


def config_from_yaml(text: str, source: str = "config.yaml") -> Config:
    """The validated configuration back from its text; `source` is named in errors.

    Raises `UserError` for text that is no configuration, for keys that this version does not know
    and for wrong types or values.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        data: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
        if not isinstance(data, dict):
            raise UserError(f"{source} is not a configuration: it holds no settings.")
        chosen = {name: _option(name, data.get(name), source) for name in GROUPS}
        blank = OmegaConf.structured(Config(**chosen))
        config = OmegaConf.to_object(OmegaConf.merge(blank, data))
    except YAMLError as error:
        raise UserError(
            f"{source} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from None
    except OmegaConfBaseException as error:
        key = error.full_key or "a key"
        why = str(error.msg or error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{source}: {key} cannot be used: {why}. Was it written by another version of trpo_cli?"
        ) from None
    assert isinstance(config, Config)
    validate(config)
    return config


def _option(group: str, section: Any, source: str) -> Any:
    """An instance of the dataclass that a section's ``name`` chooses."""
    name = section.get("name") if isinstance(section, dict) else None
    if name not in GROUPS[group]:
        known = ", ".join(GROUPS[group])
        raise UserError(f"{source}: {group}.name={name} is not one of its options: {known}.")
    return GROUPS[group][name]()
