"""Runs of other tools beside ours: sb3=DIR, tb=DIR[:TAG], csv=FILE on the command line.

They become runs with what their files tell; the rest is missing, and sentences say so.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trpo_cli.compare import foreign_files
from trpo_cli.compare.episodes import Measured, columns_of
from trpo_cli.compare.foreign_files import LONGEST_NAME
from trpo_cli.compare.read import LONGEST_REASON, Found, Run
from trpo_cli.compare.wording import listed, runs
from trpo_cli.errors import UserError
from trpo_cli.runs.directory import EVENTS
from trpo_cli.untrusted import printable

FORMS = {"sb3": "sb3=DIR", "tb": "tb=DIR or tb=DIR:TAG", "csv": "csv=FILE"}
LOOKED_FOR = {
    "sb3": "a monitor.csv, *.monitor.csv or progress.csv",
    "tb": EVENTS,
    "csv": "a table",
}
GIVEN = re.compile(r",(env|label)=([^,]*)$")
"""What may be said at the end of an argument, where the files do not tell it."""
ALGORITHM = re.compile(
    "vpg|reinforce|npg|trpo|ppo|a2c|a3c|acktr|acer|sac|td3|ddpg|dqn|qrdqn|tqc|ars|crossq|ppg|awr|mpo"
    "|recurrentppo|maskableppo",
    re.IGNORECASE,
)
ENVIRONMENT = re.compile(r"[A-Za-z0-9]+-v\d+")
CLEANRL = re.compile(r"(?P<env>.+?)__(?P<algo>.+)__(?P<seed>\d{1,18})__\d+")
SEED = re.compile(r"(?:^|[^a-z])seed[_=-]?(?P<seed>\d{1,18})(?!\d)", re.IGNORECASE)
OF_ONE_RUN = re.compile(r"(\d+\.)?monitor\.csv")
CAVEAT = (
    "Other tools' files tell neither versions nor settings, so that nothing checks whether these "
    "are alike, and their returns are of training episodes, or of what a table holds, and not of "
    "a final evaluation: a difference from the runs of trpo-run may come from there."
)


@dataclass(frozen=True)
class Source:
    """An argument. word: as it was typed. tag: of TensorBoard, empty for a known one. given: env,
    label."""

    kind: str
    path: Path
    word: str
    tag: str
    given: Mapping[str, str]


@dataclass(frozen=True)
class Told:
    """A run as its files have it. said: env, algo and seed, where a file tells them."""

    measured: Measured
    said: Mapping[str, str]


def source_of(word: str) -> Source | None:
    """None for the name of a folder. Raises `UserError` for what is not there."""
    kind, equals, rest = word.partition("=")
    if kind not in FORMS or not equals or Path(word).exists():
        return None
    given: dict[str, str] = {}
    while (part := GIVEN.search(rest)) is not None:
        given[part[1]], rest = printable(part[2]), rest[: part.start()]
    tag = ""
    if kind == "tb" and not Path(rest).exists() and ":" in rest:
        rest, _, tag = rest.rpartition(":")
    path = Path(rest)
    if not (path.is_file() if kind == "csv" else path.is_dir()):
        what = "file" if kind == "csv" else "folder"
        raise UserError(
            f"{word}: there is no {what} {rest}. Write {FORMS[kind]}, and behind it, where the "
            "files do not tell them, ,env=ID or ,label=NAME."
        )
    return Source(kind, path, word, tag, given)


def find_foreign(sources: Sequence[Source]) -> Found:
    """The runs of all sources, and what a reader must know of them. What cannot be read is left
    out by name, and so is a copy. Raises `UserError` for a source that has no run at all."""
    found: list[Run] = []
    notes: list[str] = []
    seen: dict[bytes, Path] = {}
    for source in sources:
        mine: list[Run] = []
        ways: dict[str, None] = {}
        problems: list[str] = []
        for path, read in candidates(source):
            try:
                told = read()
                made = [make_run(source, path, one) for one in told]
            except (OSError, ValueError, OverflowError) as error:
                words = textwrap.shorten(printable(" ".join(str(error).split())), LONGEST_REASON)
                problems.append(f"{printable(str(path))} is left out: {words}.")
                continue
            ways |= dict.fromkeys(one.measured.how for one in told)
            for run in made:
                content = b"".join(column.tobytes() for column in run.columns.values())
                if content in seen:
                    problems.append(
                        f"A run of {run.path} is left out: it has the same returns as one of "
                        f"{seen[content]}."
                    )
                    continue
                seen[content] = run.path
                mine.append(run)
        if not mine:
            why = " ".join(problems[:3]) or f"Nothing below it is called {LOOKED_FOR[source.kind]}."
            raise UserError(f"{printable(source.word)}: there is no run to read. {why}")
        notes += [*problems, in_words(source, mine, list(ways))]
        found += mine
    return Found(found, [*notes, CAVEAT])


def in_words(source: Source, mine: Sequence[Run], ways: Sequence[str]) -> str:
    """What was read, and what was assumed."""
    groups = Counter(f"{run.config['algo.name']} on {run.env}" for run in mine)
    named = listed([f"{name} ({runs(n)})" for name, n in groups.items()])
    words = f"{printable(source.word)}: {named}, read from {'; '.join(ways)}."
    if any(run.seed is None for run in mine):
        words += " Their seeds are not told, and each counts as a run of its own."
    return words


def candidates(source: Source) -> Iterator[tuple[Path, Callable[[], list[Told]]]]:
    """What may be a run, and how to read it; nothing hidden, nothing below the folder of a run."""
    if source.kind == "csv":
        yield source.path, partial(of_table, source.path)
        return
    for name, below, names in os.walk(source.path):
        where = Path(name)
        there = sorted(n for n in names if (where / n).is_file())
        found = list(of_sb3(where, there) if source.kind == "sb3" else of_events(source, where))
        below[:] = [] if found else sorted(n for n in below if not n.startswith("."))
        yield from found


def of_table(path: Path) -> list[Told]:
    return [Told(measured, said) for said, measured in foreign_files.runs_in_table(path)]


def of_sb3(where: Path, there: Sequence[str]) -> Iterator[tuple[Path, Callable[[], list[Told]]]]:
    """Numbered monitor files of a folder are the environments of one run, others a run each;
    progress.csv only where there is none: it holds less."""
    found = [n for n in there if n == "monitor.csv" or n.endswith(".monitor.csv")]
    together = [where / n for n in found if OF_ONE_RUN.fullmatch(n)]
    if together:
        yield where, partial(of_monitors, together)
    for n in found:
        if where / n not in together:
            yield where / n, partial(of_monitors, [where / n])
    if not found and "progress.csv" in there:
        path = where / "progress.csv"
        yield path, lambda: [Told(foreign_files.progress(path), {})]


def of_monitors(paths: Sequence[Path]) -> list[Told]:
    measured, env = foreign_files.monitors(paths)
    return [Told(measured, {"env": env})]


def of_events(source: Source, where: Path) -> Iterator[tuple[Path, Callable[[], list[Told]]]]:
    if any(path.is_file() for path in where.glob(EVENTS)):
        yield where, lambda: [Told(foreign_files.event_files(where, source.tag), {})]


def make_run(source: Source, path: Path, told: Told) -> Run:
    """Raises ValueError for what cannot be one."""
    guessed = by_names(names_of(source, path))
    env = source.given.get("env") or told.said.get("env") or guessed.get("env")
    if not env:
        raise ValueError(f"it does not tell its environment: write {source.word},env=ID")
    name = source.given.get("label") or told.said.get("algo") or guessed.get("algo")
    name = name or source.path.resolve().stem
    seed = told.said.get("seed") or guessed.get("seed")
    for text in (env, name):
        if len(text) > LONGEST_NAME:
            raise ValueError(f"it has a name of {len(text):,} characters")
    if seed is not None and not re.fullmatch(r"\d{1,18}", seed):
        raise ValueError(f"{seed!r} is no seed")
    config = {
        "env.id": printable(env),
        "algo.name": f"{source.kind}: {printable(name)}",
        "seed": None if seed is None else int(seed),
    }
    where = Path(printable(str(path)))
    columns = columns_of(told.measured)
    manifest = {"status": "finished"}
    return Run(where, source.word, config, manifest, columns, {}, [], source.kind)


def names_of(source: Source, path: Path) -> list[str]:
    """Of the run's file or folder and those above it, up to the one that was given."""
    top = source.path.resolve()
    below = path.resolve()
    inside = below.relative_to(top).parts if below.is_relative_to(top) else ()
    return [*reversed(inside), top.name]


def by_names(names: Iterable[str]) -> dict[str, str]:
    """What names of folders tell, the nearest first: env__experiment__seed__time as CleanRL has
    it, else Hopper-v4, a known algorithm, and seed3 anywhere in them."""
    found: dict[str, str] = {}
    for name in names:
        whole = CLEANRL.fullmatch(name)
        if whole is not None:
            return {**whole.groupdict(), **found}
        if (env := ENVIRONMENT.search(name)) is not None:
            found.setdefault("env", env[0])
        for word in re.split(r"[^A-Za-z0-9]+", name):
            if ALGORITHM.fullmatch(word):
                found.setdefault("algo", word.lower())
        if (seed := SEED.search(name)) is not None:
            found.setdefault("seed", seed["seed"])
    return found
