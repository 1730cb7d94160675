"""The text of ``trpo-run --help``, made from the dataclasses and the YAML files."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trpo_cli.commands.hydra.options import Setting, default_choices, load_yaml, settings_of
from trpo_cli.config import GROUPS, Config, conf_dir
from trpo_cli.settings import range_text

USAGE = """\
usage: trpo-run [group=option ...] [key=value ...] [-m] [--help]

Train a policy: trpo-run algo=ppo env=Hopper-v4"""

EXAMPLES = """\
examples
  trpo-run                                        TRPO on Hopper-v4
  trpo-run algo=ppo env=CartPole-v1 seed=1        any Gymnasium id, registered or module:Id-v0
  trpo-run algo.max_kl=0.01 total_steps=3e6       settings by their dotted key
  trpo-run -m algo=trpo,ppo seed=1,2,3            six runs, as many at a time as there are cores
  trpo-run resume=SWEEP_DIR                       go on with a sweep: what is left of its runs
  trpo-run env=ALE/Pong-v5 algo=ppo               Atari (pip install "trpo_cli[atari]")
  trpo-run algo=trpo sampler=vine env=Hopper-v4   several actions tried in restored states
  trpo-run resume=RUN_DIR total_steps=2e6         go on with a run, here with a new end
  torchrun --nproc-per-node=2 -m trpo_cli ...     one run by several processes
  trpo-run --selftest env=Hopper-v4 algo=ppo      does what is promised hold on this machine?
  trpo-run algo=ppo --help                        only PPO's keys in the section on algorithms"""

COMMANDS = """\
commands
  trpo-run                    train; the same as python -m trpo_cli
  trpo-eval RUN_DIR ...       evaluate trained policies

options
  -m, --multirun              a sweep: one run for each combination of comma-separated values
  -cd, --config-dir DIR       a folder of your own YAML files, laid out like conf/
  --cfg job|hydra|all         print the configuration instead of running (--resolve, --package)
  --info [all|config|defaults|defaults-tree|plugins|searchpath]
                              where Hydra found what
  -sc, --shell-completion     eval "$(trpo-run -sc install=bash)" (or zsh, fish)
  --selftest                  try out here, in seconds and a temporary folder, with the env=...
                              and algo=... given: is a run repeated by its seed, the same on two
                              threads, and the same after a kill and a resumption?
  --restorable                try out here whether env=... can be brought back exactly: to resume a
                              run, and for sampler=vine
  -h, --help   --hydra-help   --version

output
  hydra.run.dir=DIR           a run's directory; otherwise
                              outputs/<env>/<algo>/<sampler>/<date_time>_<seed>_<hash>
  hydra.sweep.dir=DIR         a sweep's directory; otherwise outputs/multirun/<date_time>. It holds
                              sweep.json and, by number, each run's directory and N.log with what
                              the run printed

sweeps
  hydra.launcher.jobs=N       how many runs go on at a time, each with its share of the cores;
                              otherwise as many as there are cores, or cores / threads=...
  hydra/launcher=NAME         who starts the runs: workers (processes here, the default), basic (one
                              after the other), joblib (pip install "trpo_cli[joblib]"), or
                              submitit_slurm on a cluster ("trpo_cli[slurm]"), where a run that is
                              preempted writes a checkpoint, queues again and goes on

signals
  Ctrl-C, SIGTERM and SIGUSR1 end the iteration and write a checkpoint; resume=RUN_DIR then goes on
  as if nothing had happened. A second Ctrl-C stops at once. A sweep passes them to all its runs.

exit status: 0 done, 2 bad input, 3 a run failed (crash_<step>/ in its directory says on what),
 128 + n stopped by signal n (Ctrl-C: 130)."""


def help_text(overrides: Sequence[str]) -> str:
    """All settings; of a group that the overrides choose an option for, only that option's."""
    chosen = dict(o.partition("=")[::2] for o in overrides)
    parts = [USAGE, _groups(), "\n".join(["settings", *_top(_env_yaml(chosen))])]
    for group, options in GROUPS.items():
        names = [chosen[group]] if chosen.get(group) in options else list(options)
        parts.extend("\n".join(_option(group, name)) for name in names)
    return "\n\n".join([*parts, EXAMPLES, COMMANDS])


def _groups() -> str:
    defaults = default_choices()
    lines = ["groups"]
    for group, options in GROUPS.items():
        line, default = f"  {group}={'|'.join(options)}", f" (default {defaults[group]})"
        # Shown whole, to be copied; where there is no room for the default it goes below.
        lines += [line, " " * 44 + default] if len(line) > 80 else [line.ljust(44) + default]
    lines.append("  env=<any Gymnasium id>".ljust(44) + f" (default {defaults['env']})")
    names = sorted(p.stem for p in (conf_dir() / "experiment").glob("*.yaml"))
    words = " | ".join(names) or "<a YAML file in conf/experiment>"
    lines += textwrap.wrap(
        words,
        96,
        break_on_hyphens=False,
        initial_indent="  +experiment=",
        subsequent_indent=" " * 14,
    )
    return "\n".join(lines)


def _top(changes: Mapping[str, Any]) -> Iterator[str]:
    for setting in settings_of(Config, ""):
        yield from _line(setting, changes.get(setting.key, setting.default))


def _option(group: str, name: str) -> Iterator[str]:
    kind = GROUPS[group][name]
    doc = (kind.__doc__ or "").strip().splitlines()
    has_own = doc and not doc[0].startswith(kind.__name__)
    yield f"{group}={name}" + (f": {doc[0]}" if has_own else "")
    changes = _yaml_settings(conf_dir() / group / f"{name}.yaml", group)
    for setting in settings_of(kind, f"{group}."):
        if setting.key == f"{group}.name":
            continue  # chosen by group=option
        yield from _line(setting, changes.pop(setting.key, setting.default))
    if changes:
        also = ", ".join(f"{key}={_show(value)}" for key, value in sorted(changes.items()))
        yield f"  also sets {also}"


def _line(setting: Setting, default: Any) -> Iterator[str]:
    allowed = range_text(setting.field.metadata)
    allowed = re.sub(r"([<>]=?) ", "\\1\N{NO-BREAK SPACE}", allowed)
    text = setting.field.metadata.get("help", "") + (f" ({allowed})" if allowed else "")
    left = f"  {setting.key}={_show(default)}"
    width = max(80, min(110, shutil.get_terminal_size((100, 24)).columns))
    indent = 38
    lines = textwrap.wrap(text, width - indent, break_on_hyphens=False) or [""]
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
    if len(left) >= indent - 1:
        yield left
        left = ""
    yield left.ljust(indent) + lines[0]
    for line in lines[1:]:
        yield " " * indent + line


def _show(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_show(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _env_yaml(chosen: Mapping[str, str]) -> dict[str, Any]:
    name = chosen.get("env") or default_choices()["env"]
    found = _yaml_settings(conf_dir() / "env" / f"{name}.yaml", "env")
    return {"env.id": name, **found}


def _yaml_settings(path: Path, group: str) -> dict[str, Any]:
    """Dotted keys that a group's YAML file sets, whichever package it is for."""
    data = load_yaml(path)
    data.pop("defaults", None)
    whole = path.is_file() and "@package _global_" in path.read_text()
    return dict(_flatten(data, "" if whole else f"{group}."))


def _flatten(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
