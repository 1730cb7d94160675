"""The whole configuration of a run, as one tree of dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trpo_cli.components import HOMES, conf_dir, from_file, load, options, read_yaml
from trpo_cli.config.env import EnvConfig
from trpo_cli.config.sections import (
    EstimatorSettings,
    PolicySettings,
    RuleSettings,
    SamplerSettings,
    ValueSettings,
)
from trpo_cli.settings import setting


@from_file("eval")
@dataclass
class EvalConfig:
    every: int = setting(help="environment steps between evaluations; 0: only at the end", low=0)
    episodes: int | None = setting(
        help="episodes of the final evaluation and of each one in training; null: 20, or 10 where "
        "observations are images, which takes minutes; 0: none",
        low=0,
    )
    deterministic: bool = setting(help="take the most likely action instead of sampling")
    video: int = setting(
        help="episodes of each evaluation to record as videos/<step>_<n>.mp4; 0: none", low=0
    )


@from_file("checkpoint")
@dataclass
class CheckpointConfig:
    every: int = setting(help="environment steps between checkpoints; 0: by time only", low=0)
    minutes: float = setting(
        help="a checkpoint also once this many minutes have passed since the last; 0: never "
        "by time",
        low=0,
    )
    keep: int = setting(help="newest step checkpoints to keep, besides best and last", low=1)


def default_option(group: str) -> str:
    """The option that a group starts with: that of the list in conf/config.yaml."""
    entries = read_yaml(conf_dir() / "config.yaml")["defaults"]
    chosen = next(e for e in entries if isinstance(e, dict) and group in e)
    return str(chosen[group])


def _default_of(group: str) -> Callable[[], Any]:
    return lambda: load(group, default_option(group))()


@from_file()
@dataclass
class Config:
    """What one run is. The five sections of components hold the settings of whichever was chosen,
    built-in or somebody else's (`sections` says what the program asks of them)."""

    seed: int | None = setting(help="root of every random stream; null draws one", low=0)
    total_steps: int = setting(
        help="environment steps to train for; linear schedules reach zero there, so a resumed run "
        "given a new total follows the new schedule from where it is",
        low=1,
    )
    discount: float = setting(help="gamma", low=0, high=1)
    device: str = setting(help="where networks run", choices=["auto", "cpu", "cuda"])
    threads: int | None = setting(help="CPU threads of this run; null: every core", low=1)
    debug: bool = setting(help="show tracebacks")
    resume: str | None = setting(
        help="directory of a run, or of a sweep, to go on with in its own configuration; only "
        "total_steps, device, threads, debug, logger, env.workers, checkpoint.* and eval.* may be "
        "given with it",
    )
    init: str | None = setting(
        help="directory of a run whose policy, normaliser and value function this one begins with, "
        "at its newest checkpoint, or RUN/checkpoints/best; last: the newest run",
    )
    logger: Any = setting(
        help="trackers beside the run's files: wandb, mlflow, trackio, one of your own as "
        "module:Class, or several, [wandb,mlflow]; null: none",
    )
    env: EnvConfig = field(default_factory=EnvConfig)
    sampler: SamplerSettings = field(default_factory=_default_of("sampler"))
    algo: RuleSettings = field(default_factory=_default_of("algo"))
    policy: PolicySettings = field(default_factory=_default_of("policy"))
    value: ValueSettings = field(default_factory=_default_of("value"))
    advantage: EstimatorSettings = field(default_factory=_default_of("advantage"))
    eval: EvalConfig = field(default_factory=EvalConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


def is_auto(section: Any) -> bool:
    """Whether a section's choice is still open."""
    return hasattr(section, "given")


def replaced(config: Any, key: str, value: Any) -> Any:
    """A copy of a tree of settings with the value of one dotted key replaced; to an open choice it
    is given."""
    name, _, rest = key.partition(".")
    if is_auto(config):
        return dataclasses.replace(config, given={**config.given, name: value})
    new = replaced(getattr(config, name), rest, value) if rest else value
    return dataclasses.replace(config, **{name: new})


def loggers_of(named: Any) -> list[str]:
    """The names of the trackers that a value of `logger` has."""
    return list(named) if isinstance(named, list) else [] if named is None else [named]


CHANGEABLE = (
    "total_steps", "device", "threads", "debug", "logger", "env.workers", "checkpoint.", "eval.",
)  # fmt: skip
"""What a resumed run may change: keys, and sections with a dot."""


def may_change(key: str) -> bool:
    """Whether a resumed run may set `key`: nothing that its rows so far depend on."""
    return any(key == name or (name[-1] == "." and key.startswith(name)) for name in CHANGEABLE)


def all_options() -> dict[str, dict[str, type]]:
    """The built-in components of every group."""
    return {group: options(group) for group in HOMES}


def option_schema(kind: Any) -> Any:
    """The dataclass that Hydra checks a section against. For `auto` it has the settings of the
    option that stands for it, none of them given."""
    shown = getattr(kind.traits, "shown", None)
    if shown is None:
        return kind
    fields: list[Any] = [("name", str, kind().name)]
    for f in dataclasses.fields(load(kind.group, shown)):
        if f.name != "name":
            fields.append((f.name, f.type, dataclasses.field(default="???")))
    schema = dataclasses.make_dataclass(kind.__name__, fields)
    schema.__module__ = load(kind.group, shown).__module__
    return schema


def top_schema() -> Any:
    """The dataclass that Hydra checks the whole against, the sections of components left open."""
    fields: list[Any] = []
    for f in dataclasses.fields(Config):
        if f.name in HOMES:
            fields.append((f.name, Any, dataclasses.field(default="???")))
        else:
            given: Any = f.default_factory
            if given is dataclasses.MISSING:
                fields.append((f.name, f.type, dataclasses.field(default=f.default)))
            else:
                fields.append((f.name, f.type, dataclasses.field(default_factory=given)))
    schema = dataclasses.make_dataclass("Config", fields)
    schema.__module__ = Config.__module__
    return schema


def to_config(composed: Any) -> Config:
    """A `Config` from a typed node of OmegaConf's, not validated."""
    from omegaconf import OmegaConf

    sections: dict[str, Any] = {}
    for group in HOMES:
        node = composed[group]
        kind = load(group, node.name)
        if hasattr(kind.traits, "shown") and "given" not in node:
            keys = [key for key in node if key != "name" and not OmegaConf.is_missing(node, key)]
            sections[group] = kind(given=OmegaConf.to_container(OmegaConf.masked_copy(node, keys)))
        else:
            sections[group] = OmegaConf.to_object(node)
    plain: dict[str, Any] = {
        f.name: OmegaConf.to_object(composed[f.name])
        if OmegaConf.is_config(composed._get_node(f.name))
        else composed[f.name]
        for f in dataclasses.fields(Config)
        if f.name not in HOMES
    }
    return Config(**plain, **sections)
