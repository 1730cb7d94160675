"""``--videos``: what the policies look like, one run of each group, in the page itself."""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from trpo_cli.compare.read import Run
from trpo_cli.compare.results import Comparison, GroupResult
from trpo_cli.runs.directory import VIDEOS

NAME = re.compile(r"(?:eval_)?(\d+)_(?:deterministic_|sampled_)?(\d+)\.mp4")
MB = 10**6
LARGEST, ALL = 8 * MB, 32 * MB
"""Bytes of one video and of all those of a page, which a browser reads as a whole."""


@dataclass(frozen=True)
class Film:
    """Of a group. data: None: there is none to show. words: what it is, or why there is none."""

    env: str
    label: str
    data: bytes | None
    words: str


def find_films(comparison: Comparison) -> list[Film]:
    """For each group the newest video of the run in the middle, of those that have some."""
    films, left = list[Film](), ALL
    for env in comparison.envs:
        for group in env.groups:
            film = _film(env.env, group, left)
            left -= len(film.data or b"")
            films.append(film)
    return films


def missing(films: Sequence[Film]) -> list[str]:
    """A sentence for each group without a video on the page."""
    return [f"{f.label} on {f.env}: {f.words}" for f in films if f.data is None]


def _film(env: str, group: GroupResult, left: int) -> Film:
    runs = sorted(zip(group.finals, group.group.runs, strict=True), key=lambda pair: pair[0])
    shown = [(final, run, path) for final, run in runs if (path := newest(run)) is not None]
    if not shown:
        words = "no run has a video; trpo-eval RUN_DIR --video 1 records one."
        return Film(env, group.label, None, words)
    final, run, path = shown[(len(shown) - 1) // 2]
    size = path.stat().st_size
    if size > min(LARGEST, left):
        most = "one may have" if size > LARGEST else "are left of"
        bound = LARGEST / MB if size > LARGEST else ALL / MB
        words = f"{path} is left out: it has {size / MB:.1f} MB, more than {most} {bound:.0f} MB."
        return Film(env, group.label, None, words)
    data = _read(path)
    if data is None:
        return Film(env, group.label, None, f"{path} is left out: it is no MP4.")
    words = f"seed {run.seed}, final return {final:.4g}; {path.name}"
    return Film(env, group.label, data, words)


def newest(run: Run) -> Path | None:
    """The first episode of the last step of which a run has videos; files only, and no links."""
    folder = run.path / VIDEOS
    if folder.is_symlink() or not folder.is_dir():
        return None
    found = [(match, path) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))]
    real = [(int(m[1]), -int(m[2]), path) for m, path in found if _is_file(path)]
    return max(real, default=(0, 0, None))[2]


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)


def _read(path: Path) -> bytes | None:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        data = file.read(LARGEST)
    return data if data[4:8] == b"ftyp" else None


def to_section(films: Sequence[Film]) -> str:
    """HTML: the videos side by side."""
    cells = []
    for film in films:
        title = f"<b>{escape(film.label)}</b> {escape(film.env)}"
        source = ""
        if film.data is not None:
            data = base64.b64encode(film.data).decode()
            source = (
                '<video controls loop muted playsinline preload="metadata" '
                f'src="data:video/mp4;base64,{data}"></video>'
            )
        cells.append(f"<div>{title}{source}<small>{escape(film.words)}</small></div>")
    return (
        '<section id="videos"><h2>Videos</h2>'
        '<button type="button" class="play" hidden>Play all from the start</button>'
        f'<div class="films">{"".join(cells)}</div>'
        '<p class="caption">Of each group the run whose final return is in the middle, among those '
        "that have videos.</p></section>\n"
    )
