"""Runs and evaluations that are killed, and runs that begin in one folder at once."""

from __future__ import annotations

import random
import time
from pathlib import Path

from chaos_parts.children import PATIENCE, Failure, check_status, ended, finish, kill, start, wait
from chaos_parts.results import check_files, is_finished, lines_in, result, rows, same
from chaos_parts.tries import Campaign
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.runs import checkpoint


def killed_run(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """A run that is killed until it has ended."""
    case = generator.choice(campaign.cases)
    expected, run_dir, added = campaign.reference(case), folder / "run", 0
    for _ in range(generator.randrange(2, 9)):
        if is_finished(run_dir):
            break
        words = [*campaign.words(case), f"hydra.run.dir={run_dir}"]
        begun = (run_dir / "config.yaml").exists()
        child = start(trpo_run, [f"resume={run_dir}"] if begun else words, folder)
        kill_run(campaign, child, generator, run_dir)
        if checkpoint.exists(run_dir) and generator.random() < 0.3:
            child = start(trpo_eval, [str(run_dir), "--episodes", "1"], folder)
            added += kill_evaluation(campaign, child, generator, run_dir)
    if not is_finished(run_dir):
        begun = (run_dir / "config.yaml").exists()
        words = [*campaign.words(case), f"hydra.run.dir={run_dir}"]
        finish(start(trpo_run, [f"resume={run_dir}"] if begun else words, folder), 0)
    same(result(run_dir), expected)
    check_files(run_dir)
    found = [row for row in rows(run_dir / "eval.jsonl") if "by" in row]
    if len(found) < added:
        raise Failure(f"{len(found)} of {added} rows of trpo-eval are left")


def kill_run(campaign: Campaign, child: int, generator: random.Random, run_dir: Path) -> None:
    """Kill a run at a moment of a random kind, unless it ends before."""
    kind = generator.choice(["time", "time", "rows", "rows", "saving", "writing", "beginning"])
    count, more = lines_in(run_dir / "metrics.jsonl"), generator.randrange(4)
    until = time.monotonic() + generator.expovariate(2.0)

    def reached() -> bool:
        if kind == "rows":
            return lines_in(run_dir / "metrics.jsonl") >= count + more
        if kind == "saving":
            return any(run_dir.glob("checkpoints/.tmp-*"))
        if kind == "writing":
            return any(run_dir.glob(".*.tmp"))
        if kind == "beginning":
            return run_dir.is_dir()
        return time.monotonic() > until

    limit = time.monotonic() + PATIENCE
    while not reached():
        if ended(child) is not None:
            check_status(child, 0)
            return
        if time.monotonic() > limit:
            raise Failure("a run neither ended nor got on")
        time.sleep(0.0005)
    time.sleep(generator.choice([0.0, 0.0, 0.001, 0.01, 0.05]))
    campaign.tries[f"kills of runs: {kind}"] += kill(child)


def kill_evaluation(campaign: Campaign, child: int, generator: random.Random, run_dir: Path) -> int:
    """Kill trpo-eval, or let it end; returns how many rows are there for sure."""
    if generator.random() < 0.5:
        finish(child, 0)
        return 2
    before = lines_in(run_dir / "eval.jsonl")
    time.sleep(generator.expovariate(5.0))
    campaign.tries["kills of evaluations"] += kill(child)
    return lines_in(run_dir / "eval.jsonl") - before


def simultaneous_starts(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """Three at once: one result, and nobody else's hands in it."""
    case = generator.choice([name for name in campaign.cases if name != "vine"])
    expected, run_dir = campaign.reference(case), folder / "a" / "run"
    words = [*campaign.words(case), f"hydra.run.dir={run_dir}"]
    if generator.random() < 0.3:
        run_dir.mkdir(parents=True)
    children = [start(trpo_run, words, folder) for _ in range(3)]
    codes = sorted(wait(child) for child in children)
    campaign.tries["simultaneous starts"] += 1
    if codes != [0, 2, 2]:
        raise Failure(f"exit statuses {codes}")
    same(result(run_dir), expected)
    check_files(run_dir)
