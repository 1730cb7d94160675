"""Standard output and error of a command, whatever they are connected to."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from trpo_cli.terminal.display import write_anything


def mend_streams() -> None:
    """Make the standard streams ones that a command can print to until it is done.

    A closed one (``>&-``) becomes the null device: the next file that is opened would take its
    number, and what somebody prints would end up in metrics.jsonl. A reader that has left
    (``| head``) gets nothing more, and the command goes on. Characters that the encoding lacks are
    shown by others.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _patient(stream, number))
        write_anything(getattr(sys, name))


def _patient(stream: io.TextIOWrapper, number: int) -> io.TextIOWrapper:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(number, "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Patient(io.FileIO):
    """A file whose reader may leave. Another failure, such as a full disk, is raised once; that of
    standard error is not, as there is nowhere to tell it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            number = self.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
            # EIO: of a closed terminal
            if number == 2 or isinstance(error, BrokenPipeError) or error.errno == errno.EIO:
                return len(data)
            raise
