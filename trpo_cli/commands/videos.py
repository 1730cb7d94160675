"""What ``trpo-eval`` shows of its episodes: files with ``--video``, a window with ``--render``."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trpo_cli.commands.arguments import Parser, positive
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import VIDEOS, check_writable, make, refuse_links, write_atomically

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.config import EnvConfig
    from trpo_cli.simulators.screen import Screen


def add_flags(parser: Parser) -> None:
    add = parser.add_argument
    add("--video", type=positive, metavar="N", help="write the first N episodes as MP4")
    add("--gif", action="store_true", help="with --video: write a GIF beside each MP4")
    add(
        "--overlay",
        action="store_true",
        help="with --video: show step, reward and return above the image",
    )
    add("--out", metavar="DIR", help="with --video: the folder to write to (RUN_DIR/videos)")
    add("--render", choices=["human"], help="play the episodes in a window, for you to watch")


def check(args: argparse.Namespace) -> None:
    """Raise `UserError` for what cannot be shown, before anything is evaluated."""
    if args.render and args.video:
        raise UserError("--render and --video cannot be combined; watch first, then record.")
    for flag, given in (("--gif", args.gif), ("--overlay", args.overlay), ("--out", args.out)):
        if given and not args.video:
            raise UserError(f"{flag} says how videos are written; add --video N.")
    if not args.video:
        return
    if args.video > args.episodes:
        raise UserError(
            f"--video {args.video} asks for more episodes than --episodes {args.episodes}; raise "
            "the latter."
        )
    from trpo_cli.video.encode import need_encoder

    need_encoder("--video")


def count(args: argparse.Namespace) -> int:
    """How many of the episodes are shown."""
    return args.episodes if args.render else args.video or 0


def folder_for(name: str, run_dir: Path, args: argparse.Namespace) -> Path | None:
    """Where the videos of a run go; None where none are written. name: the person's for the run.

    Raises `UserError` when nothing can be written there.
    """
    if not args.video:
        return None
    if args.out:
        folder = Path(args.out).absolute()
        if len(args.run_dirs) > 1 or name != args.run_dirs[0]:  # of several runs
            folder /= re.sub(r"[^\w.-]+", "_", name).strip("_.") or "run"
        check_writable(folder, "--out")
        return folder
    refuse_links(run_dir, [VIDEOS])
    try:
        check_writable(run_dir / VIDEOS, "videos")
    except UserError as error:
        raise UserError(f"{error} --out DIR writes them elsewhere.") from error
    return run_dir / VIDEOS


def open_screen(env: EnvConfig, args: argparse.Namespace) -> contextlib.closing[Any] | Any:
    """A context with the environment, drawn; with None where nothing is shown."""
    if not count(args):
        return contextlib.nullcontext()
    from trpo_cli.simulators.screen import make_screen

    return contextlib.closing(make_screen(env, args.render or "rgb_array"))


def record(
    screen: Screen,
    folder: Path,
    stem: str,
    episodes: Sequence[tuple[int, np.ndarray, float]],
    args: argparse.Namespace,
    told: Callable[[int, int], None],
) -> list[str]:
    """Write episodes (seed, actions, return) as videos; returns the files.

    told: gets the number of videos that are done, and of steps.
    """
    from trpo_cli.video.encode import Gif
    from trpo_cli.video.film import film, hertz, other_course

    make(folder, "--out")
    written, steps = list[str](), 0

    def each() -> None:
        nonlocal steps
        steps += 1
        told(number, steps)

    for number, (seed, actions, paid) in enumerate(episodes):
        gif = Gif(hertz(screen)) if args.gif else None
        made = film(screen, seed, actions, gif=gif, overlay=args.overlay, each=each)
        for suffix, data in (("mp4", made.mp4), ("gif", made.gif)):
            if data is not None:
                path = folder / f"{stem}_{number}.{suffix}"
                write_atomically(path, data)
                written.append(str(path))
        if made.total != paid:
            print(f"warning: {written[-1]}: {other_course(made.total, paid)}", file=sys.stderr)
    return written


def play(screen: Screen, episodes: Sequence[tuple[int, np.ndarray, float]]) -> None:
    """Show episodes (seed, actions, return) one after the other, as quick as in life."""
    for seed, actions, _ in episodes:
        screen.reset(seed)
        due = time.monotonic()
        for action in actions:
            screen.step(action)
            due += 1.0 / screen.steps_per_second
            time.sleep(max(0.0, due - time.monotonic()))
