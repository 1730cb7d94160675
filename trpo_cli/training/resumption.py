"""What a run that goes on is checked against, before anything is changed, and what is said then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trpo_cli.errors import UserError
from trpo_cli.runs import chain, checkpoint, manifest
from trpo_cli.runs.cut import Moment, before_last
from trpo_cli.runs.directory import CHECKPOINTS, MANIFEST, METRICS


def moment_of(state: dict[str, Any]) -> Moment:
    """What the files of a run hold up to the checkpoint with this state.

    Raises ValueError for rows that are none.
    """
    chain.check_known(state.get("rows"))
    evaluation = state.get("evaluation", {})
    step, last = state.get("step", 0), evaluation.get("last")
    evaluated = step == 0 or (last is not None and last["step"] == step)
    rows = evaluation.get("rows", 0)
    return Moment(step, state.get("iteration", 0), rows, evaluated, state.get("rows"))


def rows_of_a_new_beginning(run_dir: Path, known: dict[str, Any]) -> chain.Known | None:
    """What is known about the rows of a run without a checkpoint, which starts again from its seed.

    known: the content of its manifest. Raises `UserError` when it had got further than that: what
    is missing may be found again.
    """
    older = known.get("format") == 1
    reached = known.get("checkpoint")
    if older and known.get("status") in ("finished", "interrupted"):
        reached = known.get("step")
    if reached or known.get("status") == "finished":
        raise UserError(
            f"{run_dir} has no checkpoint, and its {MANIFEST} knows of one at step {reached}: put "
            f"its {CHECKPOINTS} folder back, without which the run cannot go on. Nothing "
            "was changed."
        )
    if not known and (run_dir / METRICS).exists():
        raise UserError(
            f"{run_dir} has rows, but neither {MANIFEST} nor a checkpoint that they belong to: put "
            "them back. Nothing was changed."
        )
    if older:
        return None
    return chain.restart(known["rows"]["start"]) if known else chain.begin()


def check_origin(run_dir: Path, known: dict[str, Any], rows: chain.Known | None) -> None:
    """Raise `UserError` when manifest and checkpoint are not of one run. A manifest that is missing
    is written anew."""
    ours = known.get("rows", {}).get("start") if known else rows and rows["start"]
    if ours != (rows and rows["start"]):
        raise UserError(
            f"The manifest in {run_dir} and its newest checkpoint belong to different runs. Put "
            "the right one back."
        )


def check_total(run_dir: Path, known: dict[str, Any], moment: Moment, total: int) -> None:
    """Raise `UserError` when nothing is left to do, or more was done than is asked for.

    known: the content of the manifest.
    """
    if before_last(run_dir, moment) >= total:
        raise UserError(
            f"total_steps={total} lies behind the {moment.step} steps that the run in {run_dir} "
            "has done; it cannot end there any more."
        )
    if moment.step >= total and known.get("status") == "finished":
        raise UserError(
            f"The run in {run_dir} is finished: it has done {moment.step} of {total} steps. Give a "
            "larger total_steps=... to train on."
        )


def words_of_resumption(
    run_dir: Path, known: dict[str, Any], step: int, rows: chain.Known | None, restarted: str
) -> list[str]:
    """What a person should know of a run that goes on at this step.

    known: the content of its manifest before. rows: what its checkpoint knows of the rows.
    restarted: why its episodes could not go on, empty when they could.
    """
    said = [f"resumed at step {step:,}"]
    newest = known.get("checkpoint") or 0
    if newest > step and not checkpoint.path(run_dir, newest).is_dir():
        said.append(f"the checkpoint of step {newest:,} is missing: what followed is made again")
    if not known:
        said.append(f"{MANIFEST} was missing and is written anew")
    if rows is None:
        said.append(
            "its rows carry no chain, as an older version began it: changes to them would go "
            "unnoticed"
        )
    if restarted:
        said.append(f"new episodes were started everywhere: {restarted}")
    if changed := manifest.changed_numbers(run_dir):
        said.append(f"numbers may differ in their last digits from here on: {changed}")
    return said
