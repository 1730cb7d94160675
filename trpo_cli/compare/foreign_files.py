"""Files of other tools, read within bounds: they may be anybody's.

Monitor files and progress.csv of stable-baselines3, TensorBoard's event files, tables of numbers.
"""

from __future__ import annotations

import csv
import io
import math
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trpo_cli.compare.episodes import EPISODES, POINTS, WINDOW, Measured
from trpo_cli.runs.directory import EVENTS
from trpo_cli.untrusted import harmless, parse_json, printable

LARGEST_FILE = 64 << 20
"""Bytes of a file that is read."""
MOST_RUNS = 1000
"""Runs of one table."""
LONGEST_NAME = 80
"""Characters of an environment's or a group's name in a file."""
TAGS = {
    "rollout/ep_rew_mean": WINDOW,  # stable-baselines3
    "charts/episodic_return": EPISODES,  # CleanRL
    "train/return_mean": POINTS,  # trpo-run
    "train/episode_return": POINTS,
    "train/episode_reward": POINTS,
    "train/return": POINTS,
    "ray/tune/env_runners/episode_return_mean": POINTS,  # RLlib
    "ray/tune/episode_reward_mean": POINTS,
}
"""TensorBoard's tags of training returns, in the order in which they are looked for."""
IS = {WINDOW: ", a mean over the last 100 episodes that lags", EPISODES: "", POINTS: ""}
SHOWN = 5
"""Tags that an error names."""


def bounded(path: Path) -> bytes:
    """Raises ValueError for a file that is too large, OSError for one that cannot be read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise ValueError(f"it has {size:,} bytes, and at most {LARGEST_FILE:,} are read")
        return file.read(size)


def table(data: bytes, whole: bool) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, names of columns and cells without blanks around them. whole: the
    last line counts although it does not end."""
    text = data.decode("utf-8-sig")
    if not whole:
        text = text[: text.rfind("\n") + 1]
    names: list[str] = []
    try:
        for row in csv.reader(io.StringIO(text)):
            cells = [cell.strip() for cell in row]
            if not names:
                names = cells
            elif cells:
                if len(cells) != len(names):
                    raise ValueError("its rows are not all as long as its first one")
                yield dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"it is no CSV ({error})") from None


def number(row: Mapping[str, str], key: str) -> float:
    """A cell; NaN where it is empty. Raises ValueError for a missing column and for text."""
    if key not in row:
        raise ValueError(f"it has no column {key}")
    try:
        return float(row[key] or math.nan)
    except ValueError:
        raise ValueError(f"{printable(row[key][:40])!r} is no number for {key}") from None


def monitors(paths: Sequence[Path]) -> tuple[Measured, str]:
    """The monitor files of one run's environments, and the environment's name, empty where none of
    them tells it. Episodes stand in the order in which they ended."""
    episodes = array("d")  # t, l and r of each in turn
    names = set[str]()
    for path in paths:
        head, _, rest = bounded(path).partition(b"\n")
        told = parse_json(head[1:]) if head.startswith(b"#") else None
        if not isinstance(told, dict):
            raise ValueError(f"{path.name} does not begin like a monitor file")
        begun = told.get("t_start", 0.0)
        if isinstance(begun, bool) or not isinstance(begun, (int, float)):
            raise ValueError(f"{path.name} has t_start={begun!r}")
        names.add(name_in(told.get("env_id")))
        for row in table(rest, whole=False):
            r, length, t = (number(row, key) for key in "rlt")
            if not (length >= 1 and length == int(length) and math.isfinite(t)):
                raise ValueError(f"{path.name} has an episode of {length:g} steps that ends at {t}")
            episodes.extend((begun + t, length, r))
    if len(names) > 1:
        raise ValueError(f"its environments are {' and '.join(sorted(names))}")
    ended = np.array(episodes).reshape(-1, 3)
    times, lengths, returns = ended[np.argsort(ended[:, 0], kind="stable")].T
    seconds = times - (times[0] if times.size else 0.0)
    how = (
        "monitor files: steps are the lengths of finished episodes added up, environments of one "
        "folder merged by their clocks"
    )
    return Measured(np.cumsum(lengths), seconds, returns, EPISODES, how), names.pop()


def progress(path: Path) -> Measured:
    """stable-baselines3's progress.csv."""
    tag, clock = "rollout/ep_rew_mean", "time/total_timesteps"
    rows = [row for row in table(bounded(path), whole=False) if row.get(tag) and row.get(clock)]
    if not rows:
        raise ValueError(f"it has no row with {tag} and {clock}")
    steps, returns = ([number(row, key) for row in rows] for key in (clock, tag))
    times = [float(row.get("time/time_elapsed") or math.nan) for row in rows]
    how = f"progress.csv: {tag}, a mean over the last 100 episodes that lags, at {clock}"
    return Measured(np.array(steps), np.array(times), np.array(returns), WINDOW, how)


def event_files(folder: Path, tag: str) -> Measured:
    """The scalars of one tag in a folder, of a known one where `tag` is empty. Where a resumed run
    goes back to an earlier step, what came later there is dropped."""
    from trpo_cli.runs.event_file import scalars

    found: dict[str, list[tuple[float, float, float]]] = {}
    for path in sorted(path for path in folder.glob(EVENTS) if path.is_file()):
        for time, step, name, value in scalars(bounded(path)):
            points = found.setdefault(name, [])
            if name != tag and (tag or name not in TAGS):
                continue
            back = bool(points) and step < points[-1][1]
            while back and points and points[-1][1] >= step:
                points.pop()
            points.append((time, step, value))
    chosen = tag or next((name for name in TAGS if found.get(name)), "")
    if not found.get(chosen):
        raise ValueError(no_tag(tag, sorted(found)))
    times, steps, returns = np.array(found[chosen]).T
    kind = TAGS.get(chosen, POINTS)
    said = f"{printable(chosen)}{IS[kind]}"
    how = f"the tag {said}: steps of its events are taken for environment steps"
    return Measured(steps, times - times[0], returns, kind, how)


def no_tag(tag: str, there: Sequence[str]) -> str:
    likely = [name for name in there if any(word in name.lower() for word in ("ret", "rew"))]
    names = [printable(name[:LONGEST_NAME]) for name in (likely or there)[:SHOWN]]
    missing = f"it has no tag {tag}" if tag else "it has no tag that is known to be a return"
    if not names:
        return "it has no scalar"
    return f"{missing}; name one, tb=DIR:TAG: there are {', '.join(names)}"


def runs_in_table(path: Path) -> Iterator[tuple[dict[str, str], Measured]]:
    """A table with the columns step and return, and maybe seconds, and seed, env, algo and label,
    by which its rows are those of different runs."""
    grouped: dict[tuple[str, ...], array[float]] = {}
    for row in table(bounded(path), whole=True):
        key = tuple(name_in(row.get(name)) for name in ("env", "seed", "algo", "label"))
        time = number(row, "seconds") if "seconds" in row else math.nan
        values = (number(row, "step"), time, number(row, "return"))
        grouped.setdefault(key, array("d")).extend(values)
        if len(grouped) > MOST_RUNS:
            raise ValueError(f"it has more than {MOST_RUNS:,} runs")
    if not grouped:
        raise ValueError("it has no row")
    how = "a table: each row is a return at its step, and nobody says how it was measured"
    for (env, seed, *names), found in grouped.items():
        said = {"env": env, "seed": seed, "algo": " ".join(filter(None, names))}
        steps, times, returns = np.array(found).reshape(-1, 3).T
        yield said, Measured(steps, times, returns, POINTS, how)


def name_in(value: Any) -> str:
    """A name from a file; raises ValueError for one that has no end."""
    text = str(harmless(value)) if isinstance(value, str) else ""
    if len(text) > LONGEST_NAME:
        raise ValueError(f"it has a name of {len(text):,} characters")
    return text
