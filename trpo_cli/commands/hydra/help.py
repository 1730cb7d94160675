"""The text of ``trpo-run --help``: every setting, with the value that a command line gives it."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trpo_cli.commands.hydra.options import Setting, choices, settings_of
from trpo_cli.components import conf_dir, load, set_by_rule
from trpo_cli.config import ATARI_ID, Config
from trpo_cli.config.schema import all_options, default_option
from trpo_cli.config.settle import settle
from trpo_cli.settings import range_text, walk

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
  trpo-compare DIR ...        compare runs: learning curves, tables and a verdict
  trpo-tune key=value ...     search for good settings
  trpo-lab NAME               small exact experiments with known answers

options
  -m, --multirun              a sweep: one run for each combination of comma-separated values
  -cd, --config-dir DIR       a folder of your own YAML files, laid out like conf/
  --cfg job|hydra|all         print the configuration instead of running (--resolve, --package)
  --info [all|config|defaults|defaults-tree|plugins|searchpath]
                              where Hydra found what
  -sc, --shell-completion     eval "$(trpo-run -sc install=bash)" (or zsh, fish)
  --trust                     with resume=: import and launch what a directory from somebody else
                              names; runs and sweeps of your own need no such word
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


def help_text(overrides: Sequence[str], config_dir: str | None = None) -> str:
    """All settings with the values that this command line would run with; of a group that it
    chooses an option for, only that option's.

    Raises `UserError` for a command line that could not run.
    """
    from trpo_cli.commands.hydra.compose import compose, start_hydra

    config = compose(start_hydra(config_dir), overrides)[0]
    config = settle(config, images=bool(ATARI_ID.search(config.env.id)))
    values = {key: value for key, _, value in walk(config)}
    chosen = choices(overrides)
    parts = [USAGE, _groups(), "\n".join(["settings", *_lines(settings_of(Config, ""), values)])]
    for group, options in all_options().items():
        names = [chosen[group]] if group in chosen else list(options)
        parts.extend("\n".join(_option(group, name, config, values)) for name in names)
    return "\n\n".join([*parts, EXAMPLES, COMMANDS])


def _groups() -> str:
    lines = ["groups"]
    for group, options in all_options().items():
        line, default = f"  {group}={'|'.join(options)}", f" (default {default_option(group)})"
        # Shown whole, to be copied; where there is no room for the default it goes below.
        lines += [line, " " * 44 + default] if len(line) > 80 else [line.ljust(44) + default]
    lines.append("  env=<any Gymnasium id>".ljust(44) + f" (default {default_option('env')})")
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


def _option(group: str, name: str, config: Config, values: Mapping[str, Any]) -> Iterator[str]:
    """One option and its settings, with the values of the configuration where it is the chosen
    one, and otherwise those that its file and the update rule would give it."""
    kind, decided = load(group, name), getattr(config, group).name
    words = (kind.__doc__ or "").strip().splitlines()[0]
    yield f"{group}={name}: {words}"
    if hasattr(kind.traits, "shown"):
        yield f"  here it becomes {decided}:"
        kind, name = load(group, decided), decided
    if decided != name:
        also = set_by_rule(conf_dir(), config.algo.name, f"{group}={name}")
        values = {f"{group}.{key}": value for key, value in also.items()}
    shown = (s for s in settings_of(kind, f"{group}.") if s.key != f"{group}.name")
    yield from _lines(shown, values)


def _lines(settings: Iterable[Setting], values: Mapping[str, Any]) -> Iterator[str]:
    for setting in settings:
        yield from _line(setting, values.get(setting.key, setting.default))


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
