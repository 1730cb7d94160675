"""Damaged run directories, and what each command makes of them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from chaos_parts.children import Failure, answer, finish, said, start
from chaos_parts.damage import damage
from chaos_parts.results import answered, check_files, contents, result, same
from chaos_parts.tries import Campaign
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.compare.read import Run, read_run
from trpo_cli.errors import UserError

DAMAGED = ("trpo", "ppo", "npg")
FILES = (
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "eval.jsonl",
    "events.out.tfevents.*",
    "checkpoints/step_*/tensors.safetensors",
    "checkpoints/step_*/state.json",
    "checkpoints/step_*/index.json",
    "checkpoints/last",
    "checkpoints/best",
    "checkpoints/step_*",
    "checkpoints",
)


def mutation(campaign: Campaign, generator: random.Random, folder: Path) -> None:
    """A damaged file: the same answer, a word about it, or a refusal that changes nothing."""
    case = generator.choice([name for name in campaign.cases if name in DAMAGED])
    template = campaign.template(case, generator.choice(["finished", "killed"]))
    run_dir = Path(shutil.copytree(template, folder / "run", symlinks=True))
    before = contents(run_dir)
    other = campaign.template(case, "killed" if "reference" in template.name else "finished")
    what, kind = "", ""
    while contents(run_dir) == before:
        kind = generator.choice(FILES)
        what = damage(generator, run_dir, kind, other)
    (folder / "what").write_text(what)
    campaign.tries[f"mutations of {kind}"] += 1
    try:
        read(run_dir, template)
        if generator.random() < 0.4:
            evaluate(campaign, run_dir, template, folder)
        else:
            resume(campaign, run_dir, case, folder)
    except Failure as error:
        raise Failure(f"{what} ({template.name}): {error}") from error


def read(run_dir: Path, template: Path) -> None:
    """trpo-compare leaves it out with a reason, or has the numbers that were written."""
    wanted = ("step", "policy/kl", "train/return_mean")
    try:
        found: Run = read_run(run_dir, "", wanted)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, UserError) as error:
        if not str(error):
            raise Failure("trpo-compare gives no reason") from error
        return
    expected = read_run(template, "", wanted)
    for key in wanted:
        if found.column(key).tobytes() != expected.column(key).tobytes():
            raise Failure(f"trpo-compare reads other values of {key}")
    if found.config != expected.config:
        raise Failure("trpo-compare reads another configuration")
    if list(found.evals) != list(expected.evals):
        raise Failure("trpo-compare reads other evaluations")


def evaluate(campaign: Campaign, run_dir: Path, template: Path, folder: Path) -> None:
    arguments = ["--episodes", "1", "--sampled", "--json"]
    code, out = answered(trpo_eval, [str(run_dir), *arguments], folder, run_dir)
    if code == 2:
        return
    if code != 0:
        raise Failure(f"trpo-eval ended with {code}: {out}")
    found = answer(out)
    for step in (template / "checkpoints").glob("step_*"):
        if step.name == f"step_{found['step']}":
            break
    else:
        raise Failure("trpo-eval evaluated a checkpoint that never was")
    answers = campaign.folder / f"answers_{template.name}"
    if not answers.exists():
        answers.mkdir()
        for one in (template / "checkpoints").glob("step_*"):
            copy = Path(shutil.copytree(template, answers / "run", symlinks=True))
            words = [str(copy), *arguments, "--checkpoint", one.name]
            finish(start(trpo_eval, words, answers), 0)
            (answers / one.name).write_text(json.dumps(answer(said(answers))))
            shutil.rmtree(copy)
    expected = json.loads((answers / f"step_{found['step']}").read_text())
    if found["returns"] != expected["returns"]:
        raise Failure("trpo-eval gives other returns")
    newest = max(int(p.name[5:]) for p in (template / "checkpoints").glob("step_*"))
    there = (run_dir / "checkpoints" / f"step_{newest}").is_dir()
    if found["step"] != newest and there and "warning" not in out:
        raise Failure("trpo-eval takes an older checkpoint without a word")


def resume(campaign: Campaign, run_dir: Path, case: str, folder: Path) -> None:
    code, out = answered(trpo_run, [f"resume={run_dir}"], folder, run_dir)
    if code == 0:
        same(result(run_dir, best=False), {**campaign.reference(case), "best": None})
        check_files(run_dir)
    elif code != 2:
        raise Failure(f"the resumption ended with {code}: {out}")
