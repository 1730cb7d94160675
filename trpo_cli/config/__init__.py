"""The configuration: one dataclass per group option, and the checks across groups.

The top level is `Config`. The groups (`env`, `sampler`, `algo`, `policy`, `value`, `advantage`)
each hold one of several dataclasses, in the file of that name here; `GROUPS` lists them. Defaults
are those of the algorithm papers or of a measured sweep; YAML files under ``conf/`` may set what
one algorithm or environment needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trpo_cli.config.advantage import (
    AverageBaselineConfig,
    GAEConfig,
    QValueConfig,
    RewardToGoConfig,
    TDResidualConfig,
    TotalReturnConfig,
    ValueBaselineConfig,
)
from trpo_cli.config.algo import (
    DualConfig,
    ESConfig,
    NPGConfig,
    PPOConfig,
    PPOPenaltyConfig,
    TRPOConfig,
    VPGConfig,
)
from trpo_cli.config.env import ATARI_ID, AtariConfig, EnvConfig
from trpo_cli.config.policy import (
    AutoPolicyConfig,
    LinearPolicyConfig,
    MLPPolicyConfig,
    NatureCNNPolicyConfig,
    TRPOCNNPolicyConfig,
)
from trpo_cli.config.sampler import PerturbationsConfig, SinglePathConfig, VineConfig
from trpo_cli.config.value import (
    AutoValueConfig,
    CNNValueConfig,
    MLPValueConfig,
    NoValueConfig,
    QuadraticValueConfig,
    SharedValueConfig,
)
from trpo_cli.errors import UserError
from trpo_cli.settings import check_ranges, setting

__all__ = [
    "ATARI_ID",
    "CHANGEABLE",
    "GROUPS",
    "AtariConfig",
    "AutoPolicyConfig",
    "AutoValueConfig",
    "AverageBaselineConfig",
    "CNNValueConfig",
    "CheckpointConfig",
    "Config",
    "DualConfig",
    "ESConfig",
    "EnvConfig",
    "EvalConfig",
    "GAEConfig",
    "LinearPolicyConfig",
    "MLPPolicyConfig",
    "MLPValueConfig",
    "NPGConfig",
    "NatureCNNPolicyConfig",
    "NoValueConfig",
    "PPOConfig",
    "PPOPenaltyConfig",
    "PerturbationsConfig",
    "QValueConfig",
    "QuadraticValueConfig",
    "RewardToGoConfig",
    "SharedValueConfig",
    "SinglePathConfig",
    "TDResidualConfig",
    "TRPOCNNPolicyConfig",
    "TRPOConfig",
    "TotalReturnConfig",
    "VPGConfig",
    "ValueBaselineConfig",
    "VineConfig",
    "conf_dir",
    "config_from_yaml",
    "config_to_yaml",
    "may_change",
    "validate",
]


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
        "directory of a run, or of a sweep, to go on with in its own configuration; only "
        "total_steps, device, threads, debug, checkpoint.* and eval.* may be given with it",
    )
    env: EnvConfig = field(default_factory=EnvConfig)
    sampler: Any = field(default_factory=SinglePathConfig)
    algo: Any = field(default_factory=TRPOConfig)
    policy: Any = field(default_factory=AutoPolicyConfig)
    value: Any = field(default_factory=AutoValueConfig)
    advantage: Any = field(default_factory=GAEConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


CHANGEABLE = ("total_steps", "device", "threads", "debug", "checkpoint.", "eval.")
"""What a resumed run may change: keys, and sections with a dot."""


def may_change(key: str) -> bool:
    """Whether a resumed run may set `key`: nothing that its rows so far depend on."""
    return any(key == name or (name[-1] == "." and key.startswith(name)) for name in CHANGEABLE)


GROUPS: dict[str, dict[str, type]] = {
    "algo": {
        "vpg": VPGConfig,
        "npg": NPGConfig,
        "trpo": TRPOConfig,
        "ppo": PPOConfig,
        "ppo_penalty": PPOPenaltyConfig,
        "dual": DualConfig,
        "es": ESConfig,
    },
    "sampler": {
        "single_path": SinglePathConfig,
        "vine": VineConfig,
        "perturbations": PerturbationsConfig,
    },
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
        "quadratic": QuadraticValueConfig,
        "cnn": CNNValueConfig,
        "shared": SharedValueConfig,
        "none": NoValueConfig,
    },
    "advantage": {
        "total_return": TotalReturnConfig,
        "reward_to_go": RewardToGoConfig,
        "average_baseline": AverageBaselineConfig,
        "value_baseline": ValueBaselineConfig,
        "q_value": QValueConfig,
        "td_residual": TDResidualConfig,
        "gae": GAEConfig,
    },
}


UNNAMED = {"advantage": "gae"}
"""What a section without a name is: files from when there was one option."""


def conf_dir() -> Path:
    """The folder of YAML files: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
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
    if (config.algo.name == "es") != (config.sampler.name == "perturbations"):
        raise UserError(
            f"algo={config.algo.name} cannot be combined with sampler={config.sampler.name}: "
            "evolution strategies (algo=es) compare whole perturbed policies, which is what "
            "sampler=perturbations runs, and nothing else does. Leave sampler out."
        )
    for group, only in (("value", "none"), ("advantage", "total_return")):
        chosen = getattr(config, group).name
        if config.algo.name == "es" and chosen != only:
            raise UserError(
                f"{group}={chosen} cannot be used with algo=es, which looks at the returns of "
                f"whole episodes alone. Leave {group} out."
            )
    algo = config.algo
    if config.sampler.name == "vine" and algo.name in ("ppo", "ppo_penalty", "dual"):
        raise UserError(
            f"sampler=vine cannot be combined with algo={algo.name}: it works on the probability "
            "ratios of sampled actions one by one, in minibatches, and the vine's objective has "
            "none. Try algo=trpo."
        )
    if algo.name == "ppo_penalty" and algo.kl_target is not None and algo.kl_coef == 0.0:
        raise UserError(
            f"algo.kl_coef=0 stays 0 when it is halved or doubled towards "
            f"algo.kl_target={algo.kl_target}; start from a positive one such as 1, or give "
            "algo.kl_target=null for no penalty at all."
        )
    _check_advantage(config)


def _check_advantage(config: Config) -> None:
    """Which estimators go with which samplers and value functions."""
    advantage, vine = config.advantage, config.sampler.name == "vine"
    if vine and advantage.name != "gae":
        raise UserError(
            f"advantage={advantage.name} would change nothing with sampler=vine, which takes the "
            "values of actions from its rollouts. Leave advantage out, or try "
            "sampler=single_path."
        )
    if config.value.name != "none":
        return
    if vine and config.sampler.bootstrap:
        raise UserError(
            "value=none leaves sampler=vine nothing to add at the end of a rollout that was cut; "
            "give sampler.bootstrap=false (as in the paper), or leave value=none out."
        )
    if not vine and advantage.name in ("value_baseline", "td_residual", "gae"):
        raise UserError(
            f"advantage={advantage.name} needs a value function, and value=none has none; try "
            "advantage=reward_to_go or average_baseline, or leave value=none out."
        )
    if advantage.name == "q_value" and advantage.return_lambda < 1.0:
        raise UserError(
            f"advantage.return_lambda={advantage.return_lambda} mixes in V, and value=none has "
            "none; give advantage.return_lambda=1, or leave value=none out."
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
    name = section.get("name", UNNAMED.get(group)) if isinstance(section, dict) else None
    if name not in GROUPS[group]:
        known = ", ".join(GROUPS[group])
        raise UserError(f"{source}: {group}.name={name} is not one of its options: {known}.")
    return GROUPS[group][name]()
