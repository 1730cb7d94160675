"""Rows that know the rows before them, so that none is changed, lost or added unnoticed.

Each line of metrics.jsonl and eval.jsonl ends with `"chain"`: the first 16 hexadecimal digits of
the SHA-256 of the line before's digits and the line itself up to there. Before the first line stand
the run's own `start` digits, drawn at random and kept in manifest.json. The manifest and each
checkpoint know how many rows there were and the digits of the last one:

    {"start": digits, "metrics.jsonl": [rows, digits], "eval.jsonl": [rows, digits]}

A run that began without a chain, with an older version, goes on without. The chain finds accidents;
it keeps nobody from forging rows, manifest and checkpoints together.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trpo_cli.runs.directory import EVAL, METRICS
from trpo_cli.untrusted import parse_json

KEY = "chain"
DIGITS = 16
FILES = (METRICS, EVAL)

Known = Mapping[str, Any]
"""What a manifest or a checkpoint knows about the rows of its run, see above."""


def timed(key: str) -> bool:
    """Whether a row's value is the clock's, and so another one when the same is computed again. The
    chain is over the times too."""
    return key in ("seconds", "steps_per_second", KEY) or key.startswith("time/")


def begin() -> dict[str, Any]:
    """What is known about a run without rows."""
    return restart(secrets.token_hex(DIGITS // 2))


def restart(start: str) -> dict[str, Any]:
    """What is known about a run that begins, or begins again, at these digits."""
    return {"start": start, **{name: [0, start] for name in FILES}}


def check_known(known: Any) -> None:
    """Raise ValueError for what is not what `begin` gives: the file may be anybody's."""
    good = known is None or (
        isinstance(known, dict)
        and known.keys() == {"start", *FILES}
        and isinstance(known["start"], str)
        and all(isinstance(known[name], list) and len(known[name]) == 2 for name in FILES)
        and all(type(known[name][0]) is int and known[name][0] >= 0 for name in FILES)
        and all(isinstance(known[name][1], str) for name in FILES)
    )
    if not good:
        raise ValueError(f"rows={known!r}")


def sealed(values: Mapping[str, Any], before: str) -> tuple[bytes, str]:
    """The line of a row that follows a row with the digits `before`, and its own digits."""
    return seal(json.dumps(values, allow_nan=False)[:-1].encode(), before)


def seal(text: bytes, before: str) -> tuple[bytes, str]:
    """The same from the text of a JSON object without its last bracket."""
    digits = _digits(before, text)
    return text + _HEAD + digits.encode() + _TAIL, digits


def chained(lines: Sequence[bytes], start: str) -> list[bytes]:
    """Lines that carry a chain as one chain again, where some between them were taken out."""
    before, new = start, list[bytes]()
    for line in lines:
        again, before = seal(line[:_END], before)
        new.append(again)
    return new


def lines_of(data: bytes) -> list[bytes]:
    """The whole lines of a file, each with its end; a last one that is torn is not one."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def digits_of(line: bytes) -> str:
    """The digits that a line ends with; empty when it has none."""
    end = line[_END:]
    whole = end.startswith(_HEAD) and end.endswith(_TAIL)
    return end[len(_HEAD) : -len(_TAIL)].decode(errors="replace") if whole else ""


def following(lines: Sequence[bytes], start: str) -> Iterator[bool]:
    """For each line whether it is what was written behind the line before it."""
    before = start
    for line in lines:
        digits = digits_of(line)
        yield bool(digits) and digits == _digits(before, line[:_END])
        before = digits


def extent(lines: Sequence[bytes], start: str) -> list[Any]:
    """How many rows there are, and the last one's digits."""
    return [len(lines), digits_of(lines[-1]) if lines else start]


def is_added(line: bytes) -> bool:
    """Whether an evaluation is not of the run itself but was added by trpo-eval."""
    try:
        row = parse_json(line)
    except ValueError:
        return False
    return isinstance(row, dict) and "by" in row


def check_rows(name: str, lines: Sequence[bytes], known: Known, who: str) -> str:
    """What is wrong with the rows that are known; empty when they are all as they were.

    name, lines: of the file. who: knows them, for the message.
    """
    count, digits = known[name]
    if len(lines) < count:
        return f"{name} has {len(lines)} of the {count} rows that {who} counts"
    for number, follows in enumerate(following(lines[:count], known["start"]), 1):
        if not follows:
            return _changed(name, number)
    if extent(lines[:count], known["start"])[1] != digits:
        return (
            f"the rows of {name} are not those that {who} knows, but another run's or an old copy"
        )
    return ""


def check_run(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """What is wrong with the rows of a run, as a reader finds them; empty when nothing is.

    manifest: its content, read before the files; files: the content of each.
    """
    known, over = manifest.get("rows"), manifest.get("status") != "running"
    for name in FILES:
        lines = lines_of(files.get(name, b""))
        if known is None:
            if lines and digits_of(lines[-1]):
                return f"the rows of {name} carry a chain that the manifest knows nothing of"
            continue
        if wrong := check_rows(name, lines, known, "the manifest"):
            return wrong
        count, digits = known[name]
        later = following(lines[count:], digits)
        for number, (line, follows) in enumerate(zip(lines[count:], later, strict=True), count + 1):
            if not follows:
                return _changed(name, number)
            if over and not (name == EVAL and is_added(line)):
                return f"row {number} of {name} was added after the run had ended"
    return ""


def _changed(name: str, number: int) -> str:
    return f"row {number} of {name} was changed, or rows before it are missing or another run's"


def _digits(before: str, text: bytes) -> str:
    return hashlib.sha256(before.encode() + text).hexdigest()[:DIGITS]


_HEAD, _TAIL = b', "%b": "' % KEY.encode(), b'"}\n'
_END = -len(_HEAD) - DIGITS - len(_TAIL)
"""Where the chain begins in a line."""
