"""How far an evaluation is, told now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from trpo_cli.terminal.display import LiveArea, can_draw, count, duration, is_quiet

REFRESH_SECONDS = 0.5
"""On a terminal."""
LINE_SECONDS = 20.0
"""Elsewhere."""


class Teller:
    """To be called often, with the number of episodes that have ended and the steps done.

    every: seconds between two calls of `show` with what there is to say. told: whether it has been.
    """

    def __init__(self, name: str, episodes: int, every: float, show: Callable[[str], None]) -> None:
        self._name, self._episodes, self._every, self._show = name, episodes, every, show
        self._began = self._shown = time.monotonic()
        self.told = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, ended: int, steps: int) -> None:
        now = time.monotonic()
        if now - self._shown < self._every or is_quiet():
            return
        self._shown, self.told = now, True
        text = f"{self._name}: {ended} of {count(self._episodes, 'episode')} ended"
        self._show(f"{text}  {count(steps, 'step')}  {duration(now - self._began)}")


class Waiting:
    """Progress of a command that prints nothing but results on standard output: on standard error,
    in place where that is a terminal."""

    def __init__(self) -> None:
        self._area = LiveArea(sys.stderr) if can_draw(sys.stderr) else None

    def teller(self, name: str, episodes: int) -> Teller:
        every = LINE_SECONDS if self._area is None else REFRESH_SECONDS
        return Teller(name, episodes, every, self._say)

    def _say(self, text: str) -> None:
        if self._area is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._area.draw(text)

    def close(self) -> None:
        if self._area is not None:
            self._area.clear()
