"""What can be said against a configuration without an environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from trpo_cli.components import HOMES, load
from trpo_cli.config.schema import Config, is_auto, loggers_of
from trpo_cli.errors import UserError
from trpo_cli.settings import CONTINUOUS, SHARED_STD, as_typed, check_ranges, on_command_line, walk

KINDS = {
    "trajectories": "trajectories",
    "branches": "rollouts of several actions from one state",
    "evaluations": "returns of whole perturbed policies",
}
"""What samplers give, in words."""


def validate(config: Config) -> None:
    """Check every range and every combination that can be judged without an environment.

    Raises `UserError` naming the key, the value received and what to try.
    """
    check_ranges(config)
    for group in HOMES:
        section = getattr(config, group)
        if is_auto(section):
            _check_given(group, section)
    if config.eval.every and config.eval.episodes == 0:
        raise UserError(
            f"eval.every={config.eval.every} asks for evaluations and eval.episodes=0 for none; "
            "give eval.episodes a number, or leave eval.every out."
        )
    most = config.eval.episodes
    if most is not None and config.eval.video > most:
        raise UserError(
            f"eval.video={config.eval.video} records more episodes than an evaluation has "
            f"(eval.episodes={most}); lower it, or raise eval.episodes."
        )
    _check_vector(config)
    _check_loggers(config)
    _check_records(config)
    check_floor(config.policy)
    if getattr(config.policy.traits, "remembers", False):
        _check_remembering(config)
    estimates = config.sampler.traits.gives == "trajectories"
    if estimates and config.advantage.traits.needs_value and not config.value.traits.learned:
        raise UserError(
            f"advantage={config.advantage.name} needs a value function, and "
            f"value={config.value.name} has none; try advantage=reward_to_go or "
            f"average_baseline, or leave value={config.value.name} out."
        )
    if getattr(config.algo, "recompute_advantages", False):
        _check_recomputed(config)
    if not estimates and getattr(config.advantage, "scale_rewards", False):
        raise UserError(
            "advantage.scale_rewards=true needs a sampler of trajectories, and "
            f"sampler={config.sampler.name} judges actions by sums of rewards as they are paid. "
            "Leave it out."
        )
    for group in HOMES:
        check = getattr(getattr(config, group), "check", None)
        if check is not None:
            check(config)


def _check_vector(config: Config) -> None:
    """Whether one way of stepping environments is asked for, and the sampler can use it."""
    env = config.env
    if env.workers and env.vector not in ("auto", "workers"):
        raise UserError(
            f"env.workers={env.workers} cannot be combined with env.vector={env.vector}, which "
            "steps all environments in this process. Leave one of the two out."
        )
    if env.vector != "native":
        return
    if env.wrappers:
        raise UserError(
            f"env.vector=native cannot be combined with env.wrappers={env.wrappers}: a wrapper "
            "goes around one environment, and a vector environment has no single ones. Leave one "
            "of the two out."
        )
    if config.sampler.name != "single_path":
        raise UserError(
            f"env.vector=native cannot be used with sampler={config.sampler.name}: the "
            "environments of a vector environment share one random generator, so that none of them "
            "can be seeded or brought back alone. Try sampler=single_path, or env.vector=auto."
        )


def check_floor(policy: Any) -> None:
    """Whether deviations begin above their floor; of a policy that is still open, nothing is known.

    Raises `UserError` where they do not.
    """
    first, floor = (getattr(policy, f"{name}_log_std", None) for name in ("init", "min"))
    if first is not None and floor is not None and first < floor:
        raise UserError(
            f"policy.init_log_std={first:g} lies below policy.min_log_std={floor:g}, its floor. "
            "Try a lower one, or null for none."
        )


def _check_remembering(config: Config) -> None:
    """Whether a policy that remembers can be carried along and learned from."""
    said = f"policy={config.policy.name} remembers what it saw"
    if config.sampler.traits.gives != "trajectories":
        raise UserError(
            f"{said}, and sampler={config.sampler.name} begins in the middle of episodes, or runs "
            "many policies at once, without what was remembered there. Try "
            "sampler=single_path, or policy=mlp."
        )
    for key, value in (("env.backend", config.env.backend), ("device", config.device)):
        if value in ("warp", "cuda"):
            raise UserError(
                f"{said}, step by step on the CPU, and {key}={value} keeps the steps on a GPU. "
                f"Leave {key} out, or try policy=mlp."
            )


def _check_loggers(config: Config) -> None:
    names = loggers_of(config.logger)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(
            f"logger={as_typed(config.logger)} names no trackers, or one of them twice; write a "
            "name, such as logger=wandb, or different ones, logger=[wandb,mlflow]."
        )


def _check_recomputed(config: Config) -> None:
    """Whether V can be fitted between epochs, and the advantages depend on it."""
    value, said = config.value, "algo.recompute_advantages=true"
    joint = value.traits.learned and getattr(value.traits, "on_policy", False)
    if not (is_auto(value) or joint or value.traits.by_epochs):
        raise UserError(
            f"{said} needs a value function that is fitted in passes, a share of them between two "
            f"epochs, and value={value.name} is not; try value=mlp, or leave one of them out."
        )
    if not config.advantage.traits.needs_value:
        raise UserError(
            f"{said} would change nothing with advantage={config.advantage.name}, in which there "
            "is no value function; try advantage=gae, or leave one of them out."
        )


def _check_given(group: str, section: Any) -> None:
    """The settings given to an open choice are those of the option that stands for it."""
    kind = load(group, section.traits.shown)
    known = {f.name for f in dataclasses.fields(kind)}
    for key, value in section.given.items():
        if key not in known:
            raise UserError(f"{group}.{key}={value}: {group}={section.name} has no such setting.")
    check_ranges(dataclasses.replace(kind(), **section.given), f"{group}.")


def _check_records(config: Config) -> None:
    """Whether the update rule can learn from what the sampler gives."""
    rule, sampler = config.algo, config.sampler
    gives, wants = sampler.traits.gives, rule.traits.learns_from
    if gives not in wants:
        if "evaluations" in (gives, *wants):
            raise UserError(
                f"algo={rule.name} cannot be combined with sampler={sampler.name}: evolution "
                "strategies (algo=es) compare whole perturbed policies, which is what "
                "sampler=perturbations runs, and nothing else does. Leave sampler out."
            )
        raise UserError(
            f"sampler={sampler.name} cannot be combined with algo={rule.name}: it gives "
            f"{KINDS.get(gives, gives)}, and {rule.name} learns from "
            f"{' or '.join(KINDS.get(kind, kind) for kind in wants)}"
            + (
                ": it works on the probability ratios of sampled actions one by one, in "
                "minibatches, and the vine's objective has none. Try algo=trpo."
                if rule.traits.minibatches
                else ". Leave sampler out."
            )
        )
    if gives != "evaluations":
        return
    for group, fits in (
        ("value", not config.value.traits.learned),
        ("advantage", config.advantage.traits.from_start),
    ):
        if not fits:
            raise UserError(
                f"{group}={getattr(config, group).name} cannot be used with algo={rule.name}, "
                f"which looks at the returns of whole episodes alone. Leave {group} out."
            )


def check_read(config: Config, said: Iterable[str], continuous: bool = True) -> None:
    """Refuse a setting that was given and that nothing reads in this configuration.

    said: the dotted keys that the person gave. continuous: whether the actions are. Raises
    `UserError` naming what it would take.
    """
    found = {key: (field, value) for key, field, value in walk(config)}
    for key in said:
        if key not in found:
            continue
        field, value = found[key]
        if not is_read(config, key, continuous):
            when = field.metadata["when"]
            raise UserError(
                f"{key}={as_typed(value)} would change nothing here: it is read "
                f"{_in_words(key, when)}. Leave it out."
            )


def is_read(config: Config, key: str, continuous: bool) -> bool:
    """Whether anything reads a setting in this configuration."""
    fields = {name: field for name, field, _ in walk(config)}
    when = fields[key].metadata.get("when")
    if when is None:
        return True
    if when == CONTINUOUS:
        return continuous
    if when == SHARED_STD:
        shared = getattr(config.policy, "log_std", "shared") == "shared"
        return continuous and shared and config.sampler.traits.gives != "evaluations"
    return holds(config, key.partition(".")[0], when)


def holds(config: Config, section: str, when: str) -> bool:
    """Whether a condition of `settings.setting` is met."""
    if "=" not in when:
        negated, trait = when.startswith("not "), when.removeprefix("not ")
        group, _, name = trait.partition(".")
        return bool(getattr(getattr(config, group).traits, name)) != negated
    differs = "!=" in when
    key, _, values = when.partition("!=" if differs else "=")
    part, _, name = key.rpartition(".")
    value = getattr(getattr(config, part or section), name)
    return (on_command_line(value) in values.split("|")) != differs


CONDITIONS = {
    CONTINUOUS: "where actions are continuous (Box), and these are discrete",
    SHARED_STD: "where all states share one log standard deviation (policy.log_std=shared) and "
    "continuous actions are sampled with it",
    "algo.fits_value": "by rules that fit V together with the policy (vpg, ppo, ppo_penalty, dual)",
    "not algo.fits_value": "by rules that do not fit V together with the policy (npg, trpo)",
}


def _in_words(key: str, when: str) -> str:
    if "=" not in when:
        return CONDITIONS[when]
    section = key.partition(".")[0]
    name = when if "." in when else f"{section}.{when}"
    return f"where {name.replace('!=', ' is not ').replace('|', ' or ')}"
