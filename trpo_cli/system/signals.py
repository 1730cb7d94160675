"""Signals that ask a run to stop: remembered while it must not be torn apart, raised elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal stopped the programme; its name is the message."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class Stop:
    """Handlers for Ctrl-C (SIGINT), SIGTERM, SIGUSR1 and SIGHUP (the terminal is gone), in the main
    thread only, put back at exit.

    deferred: the first signal is remembered and `requested` says so from then on; a Ctrl-C after
        that raises `Interrupted` wherever the programme is. Otherwise the first one raises.

    A signal that the programme was started to ignore stays ignored. One that nobody asked about
    is raised at exit, so that a sweep stops too; so is one whose exception was lost in a callback
    from compiled code, where something else fails soon after.

    over: the programme is ending already, and says why; no signal may cut it short any more.
    """

    over: ClassVar[bool] = False

    def __init__(self, *, deferred: bool, quiet: bool = False) -> None:
        """quiet: say nothing about a signal that is remembered."""
        self._deferred, self._quiet = deferred, quiet
        self._received: int | None = None
        self._raised = False
        self._previous: dict[int, Any] = {}

    def requested(self) -> bool:
        return self._received is not None

    @property
    def received(self) -> int | None:
        """The number of the signal that has come."""
        return self._received

    def receive(self, number: int) -> None:
        """Take note of a signal that another process of the run got."""
        self._received = self._received or number

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come; later ones no longer disturb what follows."""
        if self._received is not None:
            self._raised = True
            raise Interrupted(self._received)

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if Stop.over else handler)
        if error is None:
            self.check()
        elif self._raised and self._received is not None and not isinstance(error, Interrupted):
            raise Interrupted(self._received) from error

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._raised or Stop.over:
            return
        first, self._received = self._received is None, self._received or number
        if self._deferred and first and not self._quiet:
            name = signal.Signals(number).name
            _tell(f"{name}: writing a checkpoint after this iteration; Ctrl-C stops at once.\n")
        if not self._deferred or (number == signal.SIGINT and not first):
            self.check()


def _tell(text: str) -> None:
    """Past Python's buffers, which the signal may have interrupted."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
