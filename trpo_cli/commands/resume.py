"""``resume=RUN_DIR``: the run's own configuration, and the few settings that may change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.hydra.overrides import check_overrides
from trpo_cli.commands.launch import check_surroundings, warn_threads
from trpo_cli.config import CHANGEABLE, Config, may_change, read_config, validate
from trpo_cli.config.schema import replaced
from trpo_cli.distributed.processes import ALONE, Processes
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import CHECKPOINTS, CONFIG, check_writable, refuse_links, require
from trpo_cli.runs.manifest import check_config, read

KEY = "resume="


def split(overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The run directory after ``resume=``, None when there is none, and the other overrides."""
    given = [o.lstrip("+") for o in overrides if o.lstrip("+").startswith(KEY)]
    others = [o for o in overrides if not o.lstrip("+").startswith(KEY)]
    # As it stands, not as Hydra would read it: a path needs no quotes within the shell's.
    path = given[0].removeprefix(KEY) if given else "null"
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"":
        path = path[1:-1]
    if not path:
        raise UserError("resume= needs a run directory: the folder that trpo-run printed.")
    return (None if path == "null" else path), others


def resumed_config(
    run_dir: Path,
    overrides: Sequence[str],
    config_dir: str | None = None,
    *,
    trusted: bool = False,
) -> Config:
    """The configuration of a run with the overrides that a resumed run may have.

    trusted: whether it may name modules that no run of this user's has named.

    Raises `UserError` naming the key of any other.
    """
    parser, keys = OverridesParser.create(), []
    for text in check_overrides(overrides):
        key = parser.parse_override(text).key_or_group
        if not may_change(key):
            raise refused(text, key)
        keys.append(key)
    config = read_config(require(run_dir) / CONFIG, trusted)
    check_config(run_dir, read(run_dir))
    if config.seed is None:
        raise UserError(f"{run_dir / CONFIG} has no seed. Put the original back.")
    refuse_links(run_dir, [CHECKPOINTS])
    if not keys:
        return config
    # Types, ranges and typos are checked as for a new run; only the named keys are taken over.
    wanted, _ = compose(start_hydra(config_dir), overrides)
    for key in keys:
        config = replaced(config, key, reduce(getattr, key.split("."), wanted))
    validate(config)
    return config


def resume(run_dir: str, config: Config, command: list[str], processes: Processes = ALONE) -> None:
    """Go on with a run."""
    folder = Path(run_dir)
    with processes.agreed():
        if config.resume is not None:
            raise UserError(f"resume={config.resume} is written on the command line only.")
        if processes.is_main:
            check_writable(folder, "resume")
        prepared = check_surroundings(config, begun=True)
    if processes.is_main:
        warn_threads(config.threads)
    from trpo_cli.training.loop import train  # heavy: no error above should pay for it

    train(prepared, folder, command, resume=True, processes=processes)


def require_run(run_dir: str) -> Path:
    """The run directory; says so when one of its own folders was given instead."""
    folder = Path(run_dir)
    for parent in list(folder.absolute().parents)[:2]:
        if CHECKPOINTS in folder.absolute().parts[-2:] and (parent / CONFIG).is_file():
            raise UserError(
                f"resume={run_dir} lies inside a run directory; write resume={parent} (a run goes "
                "on from its newest checkpoint)."
            )
    return require(folder)


def refused(text: str, key: str) -> UserError:
    """The error for a setting that a resumed run may not change."""
    text = text.lstrip("+")
    if key.startswith(("hydra.", "hydra/")):
        return UserError(f"{text}: a resumed run goes on in its own directory; leave {key} out.")
    allowed = ", ".join(f"{name}*" if name[-1] == "." else name for name in CHANGEABLE)
    return UserError(
        f"{text}: a resumed run keeps the configuration that its rows so far come from; only "
        f"{allowed} may be changed. For another {key} start a new run."
    )
