"""Where the progress of a run is printed: a live bar on a terminal, plain lines elsewhere; and
how durations, counts and time limits are worded."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shutil
import sys
import textwrap
from typing import Any, TextIO

from trpo_cli.untrusted import printable

PLAIN = {"±": "+-", "…": "...", "━": "-", "⋯": "..."}
PLAIN |= dict(zip("▁▂▃▄▅▆▇█", "__--==##", strict=True))
"""What stands for our characters where the terminal's encoding has none of them."""


def write_anything(stream: Any) -> None:
    """Let a stream whose encoding lacks a character show another one, instead of raising."""
    codecs.register_error("trpo_cli", _shown)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="trpo_cli")


def _shown(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in missing), error.end


def columns() -> int:
    """Of the terminal; 80 where there is none and COLUMNS says nothing."""
    return max(20, shutil.get_terminal_size((80, 24)).columns)


def fitted(text: str, width: int | None = None) -> str:
    """The text with lines of at most so many columns, broken between words; what follows stands
    below a line's second column, if it has one. width: that of the terminal when None."""
    width = columns() if width is None else width
    return "\n".join(piece for line in text.splitlines() for piece in _folded(line, width))


def on_screen(text: str, stream: TextIO) -> str:
    """The text as it is to be printed: broken between words for a terminal, whole for a file."""
    return fitted(text) if stream.isatty() else text


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    column = re.match(r"\s*\S.*?\s{2,}(?=\S)", line)
    own = len(line) - len(line.lstrip())
    if own > width // 2:  # below a column that there is no room for
        line, own = f"    {line.lstrip()}", 2
    indent = column.end() if column and column.end() <= width // 2 else own + 2
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


class PlainLines:
    """Prints lines to a file or pipe."""

    live = False

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, view: Any, doing: str = "") -> None:
        """Print a `view.View` in a line, or what goes on beside training instead."""
        self.print(doing or view.line())

    def print(self, text: str, command: bool = False) -> None:
        """Print a line. A reader that has left (`trpo-run | head`) does not stop the run.

        command: it is to be copied, and stays one line.
        """
        try:
            text = printable(text)
            print(text if command else on_screen(text, self._out), file=self._out, flush=True)
        except OSError:
            # Whatever is still in the buffer would fail again when Python exits.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())

    def close(self) -> None:
        pass


class LiveArea:
    """A part of a terminal that stays in place, drawn only when told to (no thread of its own: it
    would compete with the simulators for the interpreter)."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=out, highlight=False)
        self._live = Live(
            console=self.console,
            auto_refresh=False,
            redirect_stdout=out is sys.stdout,
            redirect_stderr=sys.stderr.isatty(),  # never `2> file`
        )

    def draw(self, content: Any) -> None:
        """Show something that rich can draw; the area appears with the first call."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(content, refresh=True)

    def print(self, text: str, command: bool = False) -> None:
        """Print a line that stays, above the area. command: it is to be copied, and stays whole."""
        text = printable(text)
        text = text if command else fitted(text, self.console.width)
        self.console.print(text, markup=False, soft_wrap=True)

    def clear(self) -> None:
        """Leave the terminal a plain one, with nothing of the area on it."""
        self._live.transient = True
        self.close()

    def close(self) -> None:
        """Leave the terminal a plain one; what was drawn last stays on the screen."""
        if self._live.is_started:
            self._live.stop()


class LiveView:
    """A few lines that show how far a run is."""

    live = True

    def __init__(self, out: TextIO) -> None:
        self._area = LiveArea(out)
        self.print, self.close = self._area.print, self._area.close

    def show(self, view: Any, doing: str = "") -> None:
        """Draw a `view.View`. doing: what goes on beside training, in words."""
        from rich.text import Text

        width = self._area.console.width
        text = view.lines(width) + (f"\n{fitted(doing, width)}" if doing else "")
        self._area.draw(Text(text))


def can_draw(out: TextIO) -> bool:
    """Whether there is a terminal that can show a live area."""
    return out.isatty() and os.environ.get("TERM") != "dumb"


def display(out: TextIO) -> Any:
    """The live view when `out` is a terminal that can show one, otherwise plain lines."""
    return LiveView(out) if can_draw(out) and not is_quiet() else PlainLines(out)


_quiet = False


def be_quiet(quiet: bool) -> None:
    """Whether this process shows no progress: results and warnings only."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    return _quiet


def run_name(config: Any) -> str:
    """What a run is, as part of a file's name: ppo_CartPole-v1_s0."""
    sampler = getattr(config.sampler, "name", "single_path")
    parts = [config.algo.name, *([sampler] if sampler != "single_path" else []), config.env.id]
    seed = [] if config.seed is None else [f"s{config.seed}"]
    return re.sub(r"[^\w.-]+", "_", "_".join([*parts, *seed]))


def duration(seconds: float) -> str:
    """48 s, 3 min 20 s, 2 h 05 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"


def count(number: int, noun: str) -> str:
    """1 step, 2,048 steps."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def update_size(sampler: Any) -> str:
    """How many steps an update is made from, in words, by what the sampler gives."""
    steps = f"{sampler.num_envs * sampler.steps_per_env:,} steps"
    if sampler.traits.gives == "branches":
        return f"{steps} of the trunk per update and those of its rollouts"
    return f"{'up to ' * (sampler.traits.gives == 'evaluations')}{steps} per update"


def time_limit(max_episode_steps: int | None, value: bool = True) -> str:
    """How the end of an episode by its time limit is treated, in words. value: whether there is a
    value function."""
    if max_episode_steps is None:
        return "episodes have no time limit"
    cut = f"episodes are cut after {count(max_episode_steps, 'step')}; "
    if not value:
        return cut + "without a value function the rewards that would have followed are missing"
    return cut + "the value function stands for the rewards that would have followed"
