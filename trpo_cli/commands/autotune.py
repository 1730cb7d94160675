"""``trpo-run --autotune``: which settings are fastest here, at the same batch.

A run is put together with each candidate, and its iterations are timed for some seconds, learning
included. Nothing is written but the settings, where a file is named for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.launch import check_surroundings
from trpo_cli.config import Config
from trpo_cli.config.schema import replaced
from trpo_cli.errors import UserError
from trpo_cli.system.machine import usable_cores
from trpo_cli.terminal.display import count, update_size

SECONDS, ITERATIONS = 3.0, 3
"""How long a candidate is timed, and how many iterations at least, after one that is not."""
MARGIN = 1.03
"""A candidate has to be faster by this factor: less is noise."""
WIDEST = 4
"""Numbers of environments are tried from a WIDEST-th of the given one to WIDEST times as many."""
ENVS, STEPS = "sampler.num_envs", "sampler.steps_per_env"
WORKERS, VECTOR = "env.workers", "env.vector"
OTHER = {
    VECTOR: "env.vector=native gives other episodes of the same task: its random stream is another",
    ENVS: "the other number of environments gives other trajectories: shorter ones from more "
    "environments, or longer ones from fewer; look at what both learn",
}
"""Settings with which the results change, and what else is to be said of them."""

Settings = dict[str, Any]
Measure = Callable[[Settings], float]


def autotune(overrides: Sequence[str], config_dir: str | None, file: str | None) -> int:
    """Print the speed of each candidate and the fastest one; write that to a file if one is named.

    Raises `UserError` for what cannot be tried.
    """
    check_file(file)
    if any(o.lstrip("+").startswith("resume=") for o in overrides):
        raise UserError("--autotune times runs of its own; leave resume=... out.")
    config = compose(start_hydra(config_dir), overrides)[0]
    if config.sampler.name != "single_path":
        raise UserError(
            f"--autotune times runs with sampler=single_path, and this one has "
            f"sampler={config.sampler.name}."
        )
    prepared = check_surroundings(config, overrides)
    config = dataclasses.replace(config, seed=1 if config.seed is None else config.seed)
    fixed = {text.partition("=")[0].lstrip("+") for text in overrides}
    cores = usable_cores()
    first: Settings = {
        ENVS: config.sampler.num_envs,
        STEPS: config.sampler.steps_per_env,
        "threads": config.threads or cores,
    }
    if prepared.simulator.backend == "gymnasium":
        if config.env.vector in ("auto", "workers"):
            first[WORKERS] = prepared.config.env.workers
        if has_vector_environment(config):
            first[VECTOR] = config.env.vector
    print(
        f"{config.algo.name} on {config.env.id}: {update_size(config.sampler)}, "
        f"{count(cores, 'core')}; each line is {SECONDS:.0f} s of training",
        flush=True,
    )
    same, best, speeds = climb(first, fixed, cores, told(lambda settings: speed(config, settings)))
    if same == first:
        results = "" if best == first else " that give the same results"
        print(f"the settings given are the fastest of these{results}")
    for settings, results in ((same, " with the same results"), (best, "")):
        if settings != first and (results or settings != same):
            name = key_of(settings)
            gain = speeds[name] / speeds[key_of(first)]
            print(f"fastest{results}, {gain:.2f} times the speed of those given: {name}")
    for key, words in OTHER.items():
        if key in best and best[key] != first[key]:
            print(words)
    if file is not None:
        Path(file).write_text(as_yaml(best, config.env.id))
        print(f"written to {file}")
    return 0


def climb(
    first: Settings, fixed: set[str], cores: int, measure: Measure
) -> tuple[Settings, Settings, dict[str, float]]:
    """One setting after the other, each at the fastest of the earlier ones. The fastest settings
    that give the results of the first, the fastest of all, and the speed of what was tried by
    `key_of`. fixed: keys that stay as they are."""
    same = best = first
    speeds = {key_of(first): measure(first)}
    for key in (WORKERS, "threads", *OTHER):
        if key not in first or key in fixed or (key == ENVS and STEPS in fixed):
            continue
        if key == VECTOR and WORKERS in fixed:
            continue
        for settings in candidates(key, best, cores):
            name = key_of(settings)
            if name not in speeds:
                speeds[name] = measure(settings)
            if speeds[name] > MARGIN * speeds[key_of(best)]:
                best = settings
                same = same if key in OTHER else settings
    return same, best, speeds


def candidates(key: str, now: Settings, cores: int) -> Iterator[Settings]:
    """The settings with other values of one key, at the same batch."""
    if key == ENVS:
        batch = now[ENVS] * now[STEPS]
        lowest, highest = max(1, now[ENVS] // WIDEST), now[ENVS] * WIDEST
        for envs in range(lowest, highest + 1):
            power = any(envs == now[ENVS] * 2**k or envs * 2**k == now[ENVS] for k in range(1, 9))
            if power and batch % envs == 0:
                yield {**now, ENVS: envs, STEPS: batch // envs}
        return
    if key == VECTOR:
        if now[VECTOR] != "native":
            alone = {WORKERS: 0} if WORKERS in now else {}
            yield {**now, **alone, VECTOR: "native"}
        return
    values = {2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores}
    if key == WORKERS:
        none = set[int]() if now.get(VECTOR) == "workers" else {0}
        values = {value for value in values if value <= now[ENVS]} | none
    yield from ({**now, key: value} for value in sorted(values) if value != now[key])


def has_vector_environment(config: Config) -> bool:
    """Whether ``env.vector=native`` may be tried."""
    from trpo_cli.simulators.resolve import check_env
    from trpo_cli.simulators.vector.make import has_native

    return not config.env.wrappers and has_native(check_env(config.env))


def speed(config: Config, settings: Settings) -> float:
    """Environment steps per second of a run with these settings, learning included."""
    from trpo_cli.training.trainer import Training

    for key, value in settings.items():
        config = replaced(config, key, value)
    with contextlib.closing(Training(config)) as training:
        training.iterate()  # whatever happens once, such as compiling
        rates, until = list[float](), time.perf_counter() + SECONDS
        while len(rates) < ITERATIONS or time.perf_counter() < until:
            rates.append(training.iterate()["steps_per_second"])
    return median(rates)


def told(measure: Measure) -> Measure:
    """The same, with a line for each. What cannot be had says why, and has no speed."""

    def measured(settings: Settings) -> float:
        words = "  ".join(f"{key}={value}" for key, value in settings.items())
        if settings.get(VECTOR) == "native":
            words += "  (another random stream)"
        try:
            found = measure(settings)
        except UserError as error:
            print(f"            {words}: {error}", flush=True)
            return 0.0
        print(f"{found:9,.0f}/s  {words}", flush=True)
        return found

    return measured


def key_of(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


def as_yaml(settings: Settings, env_id: str) -> str:
    """An experiment's file."""
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *path, name = key.split(".")
        into = nested
        for part in path:
            into = into.setdefault(part, {})
        into[name] = value
    return (
        "# @package _global_\n"
        f"# The fastest settings for {env_id} on this machine, by trpo-run --autotune. Put this\n"
        "# file into DIR/experiment/ and give --config-dir DIR +experiment=NAME.\n"
        + yaml.safe_dump(nested, sort_keys=False)
    )


def check_file(file: str | None) -> None:
    """Raise `UserError` for a file that is there, or cannot be."""
    if file is None:
        return
    path = Path(file)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"--autotune-file {file}: the name has to end in .yaml.")
    if path.exists() or not path.parent.is_dir():
        why = "is there already" if path.exists() else f"has no folder {path.parent}"
        raise UserError(f"--autotune-file {file} {why}. Name a new file in a folder that exists.")
