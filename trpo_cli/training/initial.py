"""``init=RUN``: a run begins with the policy, the normaliser and the value function of another.

`check` compares settings and spaces before anything is written; `begin` puts the parameters into a
training at step 0. All else is the run's own: its rule and the rule's moments, its seed, its
episodes, its counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trpo_cli.config import Config
from trpo_cli.data.states import join, part
from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint
from trpo_cli.runs.directory import CHECKPOINTS, MANIFEST, require
from trpo_cli.training.identity import identity

if TYPE_CHECKING:
    from trpo_cli.simulators.base import Simulator
    from trpo_cli.training.trainer import Training

SPACES = ("observations", "actions")
FIRST = ("policy.output_gain", "policy.init_log_std", "policy.precision")
"""Settings of a policy that say where it starts, or how exactly it computes; the others are what
function its parameters stand for."""
VALUE = ("name", "hidden_sizes", "hidden_size", "activation", "layer_norm")
"""Settings of a value function that say what its parameters stand for."""


def find(init: str) -> Path:
    """The checkpoint that ``init=`` names: the newest of a run, or one of RUN/checkpoints/."""
    path = Path(init)
    run, name = (path.parents[1], path.name) if path.parent.name == CHECKPOINTS else (path, "last")
    try:
        return checkpoint.find(require(run), name)
    except UserError as error:
        raise UserError(f"init={init}: {error}") from error


def check(config: Config, simulator: Simulator) -> None:
    """Raise `UserError` when the policy that ``init=`` names cannot act in a run's environment, or
    is another function of its parameters. config: settled."""
    assert config.init is not None
    _, state = checkpoint.load(find(config.init))
    theirs, ours = state.get("belongs_to", {}), identity(config, simulator)
    for key in SPACES:
        if theirs.get(key) != ours[key]:
            raise UserError(
                f"init={config.init}: its {key} are {_plain(theirs.get(key))}, and those of "
                f"env={config.env.id} {_plain(ours[key])}. A policy is taken over between "
                "environments of the same spaces only."
            )
    # A deviation that depends on the state is measured from the first one.
    first = FIRST if ours.get("policy.log_std") != "state" else ("policy.output_gain", FIRST[2])
    for key in ("policy.name", *ours):
        value = ours[key]
        if key.startswith("policy.") and key not in first and theirs.get(key, value) != value:
            name, there = key.removesuffix(".name"), str(theirs[key]).replace(" ", "")
            raise UserError(
                f"init={config.init}: its {name} is {theirs[key]}, and here it is {value}. Give "
                f"{name}={there}, or start without init."
            )


def begin(training: Training, known: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Put the policy and what else fits into a training that has done no step.

    known: what the manifest says of a beginning that was cut off before its first checkpoint.

    Returns what the manifest keeps, and a sentence. Raises `UserError` when the checkpoint is not
    the one that is known, or does not fit.
    """
    init = training.config.init
    assert init is not None
    folder = find(init) if known is None else _again(known)
    arrays, state = checkpoint.load(folder)
    theirs, ours = state.get("belongs_to", {}), identity(training.config, training.simulator)
    taken, why = {"policy": part(arrays, "policy")}, _other_value(theirs, ours)
    value = part(arrays, "value")
    if not why and _shapes(value) != _shapes(training.value.state()):
        why = "its parameters have other shapes"
    if not why:
        taken["value"] = value
        if scaler := part(arrays, "rewards"):  # the units of its rewards
            taken["rewards"] = scaler
    there, here = (len(x) for x in (arrays["policy/parameters"], training.policy.parameters))
    if there != here:
        raise UserError(
            f"init={init}: its policy has {there:,} parameters, and here it has {here:,}. With "
            "value=shared and a rule that fits V its network has an output for V as well: choose "
            "the same value= and such a rule."
        )
    training.start_from(join(taken))
    words = f"begins with the policy of {folder}"
    if why:
        words += f"; the value function begins anew: {why}"
    elif value:
        words += ", and its value function"
    facts = {
        "run": str(folder.absolute().parents[1]),
        "checkpoint": folder.name,
        "digest": checkpoint.digest(folder),
        "taken": [name for name in ("policy", "value") if taken.get(name)],
    }
    return facts, words


def _again(known: dict[str, Any]) -> Path:
    """The same checkpoint as the first time."""
    folder = Path(str(known.get("run")), CHECKPOINTS, str(known.get("checkpoint")))
    try:
        same = checkpoint.digest(folder) == known.get("digest")
    except UserError:
        same = False
    if not same:
        raise UserError(
            f"The run was stopped before its first checkpoint, and {folder}, with whose policy it "
            f"began as its {MANIFEST} says, is gone or another one. Start a new run."
        )
    return folder


def _other_value(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """What tells the value functions of two runs apart; empty where nothing does. A setting that
    only one of them knows was added by another version."""
    for key in (*(f"value.{name}" for name in VALUE), "advantage.scale_rewards"):
        if key in theirs and key in ours and theirs[key] != ours[key]:
            return f"{key} is {theirs[key]} there and {ours[key]} here"
    return ""


def _plain(space: Any) -> str:
    """A space's text on one line."""
    return " ".join(str(space).split())


def _shapes(arrays: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in arrays.items()}
