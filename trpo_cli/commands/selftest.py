"""``trpo-run --selftest``: whether what is promised holds here, for this environment and rule.

A short run is made in a temporary folder, killed and resumed by real processes, and compared to
the bit with one that nothing disturbed. Nothing is left behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.launch import check_surroundings
from trpo_cli.config import Config, config_to_yaml, validate
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.runs import checkpoint
from trpo_cli.runs.chain import timed
from trpo_cli.runs.directory import CONFIG, EVAL, METRICS

ITERATIONS, ENVS, STEPS, EPISODES = 12, 8, 64, 2
KILL_AFTER, ATTEMPTS = 4, 3
PATIENCE = 600.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Outcome:
    """holds: None when it is not promised here; words: what was found, or why not."""

    holds: bool | None
    words: str


def selftest(overrides: Sequence[str], config_dir: str | None) -> int:
    """Print one line per check; returns 0 when all that is promised holds, 3 otherwise."""
    config = small(compose(start_hydra(config_dir), overrides)[0], overrides)
    check_surroundings(config)
    began, sampler = time.monotonic(), config.sampler
    print(
        f"self-test of {config.algo.name} on {config.env.id}, seed {config.seed}: "
        f"{config.total_steps:,} steps, {sampler.num_envs} environments x "
        f"{sampler.steps_per_env} steps an iteration",
        flush=True,
    )
    failed = 0
    with tempfile.TemporaryDirectory(prefix="trpo-selftest-") as folder:
        for what, outcome in checks(config, Path(folder)):
            word = {True: "ok", False: "FAILED", None: "no"}[outcome.holds]
            failed += outcome.holds is False
            print(f"{word:6}  {what}: {outcome.words}", flush=True)
    seconds = f"{time.monotonic() - began:.0f} s"
    if failed:
        print(f"self-test: {failed} of what is promised did not hold, {seconds}")
        return RunFailed.exit_status
    print(f"self-test: all that is promised holds, {seconds}")
    return 0


def small(config: Config, overrides: Sequence[str]) -> Config:
    """The configuration cut down to some seconds, except for what the person has chosen."""
    given = {o.partition("=")[0].lstrip("+") for o in overrides}

    def cut(section: Any, prefix: str, **values: Any) -> Any:
        chosen = {k: v for k, v in values.items() if prefix + k not in given}
        return dataclasses.replace(section, **chosen)

    sampler = cut(
        config.sampler,
        "sampler.",
        num_envs=min(ENVS, config.sampler.num_envs),
        steps_per_env=min(STEPS, config.sampler.steps_per_env),
    )
    batch = sampler.num_envs * sampler.steps_per_env
    config = dataclasses.replace(config, sampler=sampler)
    config = cut(config, "", total_steps=ITERATIONS * batch)
    config = dataclasses.replace(
        config,
        seed=1 if config.seed is None else config.seed,
        threads=1,
        resume=None,
        eval=cut(config.eval, "eval.", every=3 * batch, episodes=EPISODES),
        checkpoint=cut(config.checkpoint, "checkpoint.", every=2 * batch, minutes=0.0),
    )
    validate(config)
    return config


def checks(config: Config, folder: Path) -> Iterator[tuple[str, Outcome]]:
    """Each check's subject and outcome, one after the other."""
    reference = prepare(config, folder / "reference")
    run(reference)
    iterations = len(rows(reference))

    def again(threads: int) -> Callable[[], Outcome]:
        def outcome() -> Outcome:
            found = in_process(dataclasses.replace(config, threads=threads), iterations)
            reason = differ(rows(reference), found)
            return Outcome(not reason, reason or f"{iterations} rows of metrics, all equal")

        return outcome

    yield "the same seed gives the same run", guarded(again(1))
    yield "2 threads give what 1 gives", guarded(again(2))
    exact = guarded(lambda: restoring(config))
    yield "an environment's state can be saved and restored", exact
    yield (
        "killed and resumed, a run is as if it had never stopped",
        guarded(lambda: killing(config, folder, reference, exact)),
    )


def guarded(check: Callable[[], Outcome]) -> Outcome:
    """A check that cannot be made has not been passed."""
    try:
        return check()
    except Exception as error:
        words = " ".join(str(error).split())
        return Outcome(False, f"{type(error).__name__}: {words}")


def prepare(config: Config, run_dir: Path) -> Path:
    """A run directory in which nothing has happened yet: resuming it starts the run."""
    run_dir.mkdir()
    (run_dir / CONFIG).write_text(config_to_yaml(config))
    return run_dir


@contextlib.contextmanager
def child(run_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that goes on with a run; killed if it is still there at the end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "trpo_cli", f"resume={run_dir}", "--trust"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(run_dir: Path) -> None:
    """Let a run go on to its end; raises `RunFailed` when it does not get there."""
    with child(run_dir) as process:
        _, said = process.communicate(timeout=PATIENCE)
    if process.returncode != 0:
        words = " ".join(said.split()) or f"exit status {process.returncode}"
        raise RunFailed(f"the run did not get to its end: {words}")


def kill(run_dir: Path, after: int) -> bool:
    """Start a run and SIGKILL it after so many rows; False when it was quicker."""
    until = time.monotonic() + PATIENCE
    with child(run_dir) as process:
        while len(lines(run_dir / METRICS)) < after:
            if process.poll() is not None:
                return False
            if time.monotonic() > until:
                raise RunFailed(f"no {after} iterations in {PATIENCE:.0f} s")
            time.sleep(0.002)
        process.kill()
        process.wait()
        return process.returncode != 0


def killing(config: Config, folder: Path, reference: Path, exact: Outcome) -> Outcome:
    """Kill a run in the middle, resume it and compare it with one that was left alone."""
    after = max(1, min(KILL_AFTER, len(rows(reference)) // 2))
    for attempt in range(ATTEMPTS):
        run_dir = prepare(config, folder / f"killed{attempt}")
        if kill(run_dir, after):
            break
    else:
        return Outcome(False, f"{ATTEMPTS} runs ended before they could be killed")
    saved = checkpoint.exists(run_dir)
    step = checkpoint.step_of(checkpoint.latest(run_dir)) if saved else 0
    run(run_dir)
    moment = f"SIGKILL after {after} rows, resumed at step {step:,}"
    if exact.holds is None and saved:
        kept = [row for row in rows(reference) if row["step"] <= step]
        reason = differ(kept, rows(run_dir)[: len(kept)])
        if reason:
            return Outcome(False, f"{moment}: {reason}")
        return Outcome(None, f"{moment}: the same rows up to there, then new episodes")
    reason = differ(rows(reference), rows(run_dir)) or compare_ends(reference, run_dir)
    return Outcome(not reason, f"{moment}: {reason or 'rows, evaluations, checkpoint all equal'}")


def compare_ends(reference: Path, run_dir: Path) -> str:
    """What differs in the evaluations and the last checkpoints of two runs; empty if nothing."""
    if reason := differ(rows(reference, EVAL), rows(run_dir, EVAL)):
        return f"the evaluations differ: {reason}"
    (arrays, state), (others, other) = (
        checkpoint.load(checkpoint.latest(folder)) for folder in (reference, run_dir)
    )
    for key, array in arrays.items():
        if key not in others or array.tobytes() != others[key].tobytes():
            return f"{key} differs in the last checkpoint"
    clock = ("seconds", "rows")  # what a checkpoint knows of the rows' chain is over their times
    for key, value in state.items():
        if key not in clock and value != other.get(key):
            return f"{key} differs in the last checkpoint"
    return ""


def in_process(config: Config, iterations: int) -> list[dict[str, Any]]:
    """The rows of the run's iterations, made in this process and without evaluations."""
    from trpo_cli.training.trainer import Training

    with contextlib.closing(Training(config)) as training:
        return [untimed(training.iterate()) for _ in range(iterations)]


def restoring(config: Config) -> Outcome:
    """Whether a snapshot, put back here or elsewhere, gives the same future to the bit."""
    from trpo_cli.simulators.make import make_simulator
    from trpo_cli.simulators.same_future import FUTURE, same_future

    first, second = (make_simulator(config.env, 2, 1, native=True) for _ in range(2))
    with contextlib.closing(first), contextlib.closing(second):
        if reason := first.why_not_restorable.rstrip("."):
            return Outcome(None, f"{reason}; a resumed run starts new episodes, the vine refuses")
        if reason := same_future(first, second, portable=True):
            return Outcome(False, reason)
    return Outcome(True, f"the same {FUTURE} steps again, to the bit, here and elsewhere")


def differ(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """The first difference between two runs' rows in words; empty if there is none."""
    for number, (one, other) in enumerate(zip(expected, found, strict=False), 1):
        for key in one.keys() | other.keys():
            if one.get(key) != other.get(key):
                return f"row {number}: {key} is {other.get(key)} instead of {one.get(key)}"
    if len(expected) != len(found):
        return f"{len(found)} rows instead of {len(expected)}"
    return ""


def rows(run_dir: Path, name: str = METRICS) -> list[dict[str, Any]]:
    return [untimed(json.loads(line)) for line in lines(run_dir / name)]


def lines(path: Path) -> list[bytes]:
    """The whole lines of a file that may be being written."""
    data = path.read_bytes() if path.exists() else b""
    return [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """A row as metrics.jsonl holds it, without the clock."""
    from trpo_cli.runs.logger import plain

    return {key: plain(value) for key, value in row.items() if not timed(key)}


def refuse(args: Any) -> None:
    """A self-test is of one new run."""
    if args.multirun:
        raise UserError("--selftest tests one run; leave -m out.")
    if any(o.lstrip("+").startswith("resume=") for o in args.overrides):
        raise UserError("--selftest makes runs of its own; leave resume=... out.")
