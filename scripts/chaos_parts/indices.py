"""Damage to what a sweep or a search knows of its runs, and what going on with it makes of that."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from chaos_parts.children import Failure, children_of, finish, kill, start
from chaos_parts.damage import damage
from chaos_parts.many import (
    JOBS,
    check_search,
    check_sweep,
    search_words,
    sweep_words,
    trials,
    wait_until,
)
from chaos_parts.results import answered, contents, is_finished, lines_in
from chaos_parts.tries import MANY, Campaign
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.commands.tune import main as trpo_tune
from trpo_cli.tune.study import import_optuna

FILES = {"sweep.json": "sweep", "tune.json": "search", "journal.log": "search"}


def damaged(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """A damaged file of a sweep or a search: the same result, or a refusal that changes nothing."""
    import_optuna()
    name = generator.choice([*FILES, "journal.log"])
    what, state = FILES[name], generator.choice(["finished", "finished", "killed"])
    source = template(campaign, what, state)
    other = template(campaign, what, "killed" if state == "finished" else "finished")
    there = Path(shutil.copytree(source, folder / "copy", symlinks=True))
    before = contents(there)
    done = ""
    while contents(there) == before:
        done = damage(generator, there, name, other)
    (folder / "what").write_text(done)
    campaign.tries[f"damages of {name}"] += 1
    try:
        if what == "search":
            go_on_searching(campaign, there, source, folder)
        elif generator.random() < 0.3:
            evaluate(there, state, folder)
        else:
            go_on_sweeping(campaign, there, state, folder)
    except Failure as error:
        raise Failure(f"{done} ({source.name}): {error}") from error


def go_on_sweeping(campaign: Campaign, sweep_dir: Path, state: str, folder: Path) -> None:
    code, out = answered(trpo_run, [f"resume={sweep_dir}"], folder, sweep_dir)
    if code == 0 and state == "killed":
        check_sweep(campaign, sweep_dir)
    elif code != 2:
        raise Failure(f"the resumption ended with {code}: {out}")


def evaluate(sweep_dir: Path, state: str, folder: Path) -> None:
    words = [str(sweep_dir), "--episodes", "1", "--sampled"]
    code, out = answered(trpo_eval, words, folder, sweep_dir)
    if code not in (0, 2):
        raise Failure(f"trpo-eval ended with {code}: {out}")
    if code == 0 and state == "finished" and not all(f"/{job}  step" in out for job in JOBS):
        raise Failure(f"trpo-eval left runs out: {out}")


def go_on_searching(campaign: Campaign, search_dir: Path, source: Path, folder: Path) -> None:
    code, out = answered(trpo_tune, [f"resume={search_dir}"], folder, search_dir)
    if code == 2:
        return
    if code != 0:
        raise Failure(f"the resumption ended with {code}: {out}")
    check_search(campaign, search_dir, folder)
    found = trials(search_dir, folder)
    for record in trials(source, folder):
        if record.state == "complete" and found[record.number] != record:
            raise Failure(f"trial {record.number} is {found[record.number]} and was {record}")


def template(campaign: Campaign, what: str, state: str) -> Path:
    """A sweep or a search that has ended, or one that was killed when the first of its runs had."""
    folder = campaign.folder / f"{what}_{state}"
    if folder.exists():
        return folder
    campaign.reference(MANY)
    if what == "sweep":
        child = start(trpo_run, sweep_words(campaign, folder), campaign.folder)
    else:
        child = start(trpo_tune, search_words(campaign, folder), campaign.folder)
    if state == "finished":
        finish(child, 0)
        return folder

    def halfway() -> bool:
        if what == "sweep":
            return lines_in(folder / "0" / "metrics.jsonl") >= 2
        return sum(map(is_finished, folder.glob("trials/*/seed_?"))) >= 3

    wait_until(child, halfway)
    kill(child, children_of(child))
    return folder
