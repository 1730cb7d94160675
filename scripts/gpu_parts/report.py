"""What was found, in a file that is written again and again, and as a table."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Report:
    """asked: the parts that are to be run. facts: what stands beside them in the file."""

    def __init__(self, out: Path | None, asked: Sequence[str], facts: dict[str, Any]) -> None:
        self._out, self._asked = out, asked
        self.parts: dict[str, dict[str, Any]] = {}
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._whole = {**facts, "began": began, "parts": self.parts}

    @contextmanager
    def part(self, name: str) -> Iterator[dict[str, Any]]:
        """A part's cases by their names, to be filled in."""
        began = time.monotonic()
        here: dict[str, Any] = {"took": 0.0, "cases": {}}
        self.parts[name] = here
        yield here["cases"]
        here["took"] = time.monotonic() - began
        self.save()

    def save(self) -> None:
        """Write all of it; a run that is killed meanwhile leaves the file that was there."""
        if self._out is None:
            return
        whole = {**self._whole, "not_run": self.not_run}
        beside = self._out.with_name(self._out.name + ".part")
        beside.write_text(json.dumps(whole, indent=1, default=float) + "\n")
        os.replace(beside, self._out)

    def with_status(self, *statuses: str) -> list[str]:
        """The cases that ended so, as "part: case"."""
        return [f"{part}: {case}" for part, case, found in self._cases()
                if found["status"] in statuses]  # fmt: skip

    @property
    def not_run(self) -> list[str]:
        """Cases that did not come to their end, and parts that have not begun."""
        cases = self.with_status("not run", "running", "cut off", "skipped")
        return [*cases, *(name for name in self._asked if name not in self.parts)]

    @property
    def failed(self) -> list[str]:
        return self.with_status("failed")

    def table(self) -> str:
        """A line per case."""
        rows = [
            [part, case, found["status"], f"{found.get('took', 0.0):.1f}", _line(found)]
            for part, case, found in self._cases()
        ]
        head = ["part", "case", "", "s", "found"]
        widths = [max(len(row[k]) for row in [head, *rows]) for k in range(4)]
        lines = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
            for row in [head, *rows]
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _cases(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for part, here in self.parts.items():
            for case, found in here["cases"].items():
                yield part, case, found


def _line(found: dict[str, Any]) -> str:
    words = "; ".join(filter(None, [found.get("wrong", ""), found.get("line", "")]))
    return " ".join(words.split())[:150]
