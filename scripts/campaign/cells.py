"""Cells of the table of results: a rule on an environment, with settings, for so many steps."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.compare.groups import file_name
from trpo_cli.compare.read import flatten
from trpo_cli.components import conf_dir
from trpo_cli.config.schema import all_options
from trpo_cli.config.settle import settle
from trpo_cli.config.text import config_to_yaml
from trpo_cli.env_ids import is_game
from trpo_cli.errors import UserError
from trpo_cli.reference.distil import settings_of
from trpo_cli.reference.store import differing, rule_in_words, settings_id
from trpo_cli.settings import on_command_line
from trpo_cli.untrusted import parse_yaml

CELLS = Path(__file__).with_name("cells.txt")
STEPS, SEEDS = 1_000_000, "0-4"


@dataclass(frozen=True)
class Job:
    """One run. words: what trpo-run takes, the seed and the folder apart. settings: what they make,
    as results have them."""

    words: tuple[str, ...]
    algo: str
    sampler: str
    env: str
    total_steps: int
    seed: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of its folder, below the one for all runs: another for each setting."""
        rule = rule_in_words(self.algo, self.sampler)
        steps = f"{self.total_steps}_{settings_id(self.settings)}"
        return f"{file_name(self.env)}/{rule}/{steps}/seed_{self.seed}"


@dataclass(frozen=True)
class Cells:
    """What a command line asks for: every rule on every environment with every seed, with settings
    as trpo-run takes them."""

    rules: list[str]
    envs: list[str]
    settings: list[str]
    seeds: list[int]
    steps: int

    def jobs(self) -> Iterator[Job]:
        """Raises `UserError` where trpo-run would."""
        for rule, env in itertools.product(self.rules, self.envs):
            words = (f"algo={rule}", f"env={env}", *self.settings, f"total_steps={self.steps}")
            flat = configured(*words)
            kind = (flat["algo.name"], flat["sampler.name"], flat["env.id"], self.steps)
            for seed in self.seeds:
                yield Job(words, *kind, seed, settings_of(flat))


def named(words: Sequence[str], seeds: str = SEEDS, steps: int = STEPS) -> Cells:
    """words: rules (trpo,ppo), environments (Hopper-v4), and settings, with an "=". Raises
    `UserError` where there is no rule or no environment among them."""
    rules, envs, settings = list[str](), list[str](), list[str]()
    for word in words:
        if "=" in word:
            settings.append(word)
            continue
        for name in filter(None, word.split(",")):
            (rules if name in all_options()["algo"] else envs).append(name)
    if not rules or not envs:
        raise UserError(
            f"{shlex.join(words)!r} names no {'environment' if rules else 'rule'}. A cell is a "
            "rule and an environment, trpo Hopper-v4, and settings if they are not the defaults."
        )
    return Cells(rules, envs, settings, numbers(seeds), steps)


def all_cells(path: Path = CELLS) -> Iterator[Cells]:
    """Those of a file, one line of the command each."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            options = dict(word[2:].split("=") for word in words if word.startswith("--"))
            yield named(
                [word for word in words if not word.startswith("--")],
                options.get("seeds", SEEDS),
                int(float(options.get("steps", STEPS))),
            )


def numbers(text: str) -> list[int]:
    """ "0-2,7" -> [0, 1, 2, 7]."""
    found = list[int]()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise UserError(f"--seeds {text}: {part!r} is no seed. Write 0,1,2 or 0-2.")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))


def configured(*words: str) -> dict[str, Any]:
    """What trpo-run makes of a command line, flat, with what `auto` becomes."""
    config, _ = compose(_hydra(), words)
    game = is_game(config.env.id)
    return flatten(parse_yaml(config_to_yaml(settle(config, images=game, emulated=game)).encode()))


@functools.cache
def _hydra() -> Hydra:
    return start_hydra()


def defaults(algo: str, sampler: str, env: str) -> dict[str, Any]:
    """The settings with which this checkout runs a rule on an environment."""
    own = (conf_dir() / "env" / f"{env}.yaml").is_file() or is_game(env)
    return _defaults(algo, sampler, env if own else "Hopper-v4")  # all others have the same


@functools.cache
def _defaults(algo: str, sampler: str, env: str) -> dict[str, Any]:
    return settings_of(configured(f"algo={algo}", f"sampler={sampler}", f"env={env}"))


@functools.cache
def tuned(algo: str, sampler: str, env: str) -> str:
    """What tuned=mujoco changes for a rule on a task, as `changes` has it; empty where it has
    nothing better than the defaults."""
    try:
        flat = configured(f"algo={algo}", f"sampler={sampler}", f"env={env}", "tuned=mujoco")
    except UserError:
        return ""
    return changes(algo, sampler, env, settings_of(flat))


def changes(algo: str, sampler: str, env: str, settings: Mapping[str, Any]) -> str:
    """What differs from the defaults, as trpo-run takes it; empty for the defaults."""
    usual = defaults(algo, sampler, env)
    found = {key: values[0] for key, values in differing(settings, usual).items()}
    return " ".join(f"{key}={on_command_line(value)}" for key, value in found.items())
