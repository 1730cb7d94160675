"""A run of a sweep or a search does not outlive the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE = 30.0
"""Seconds for a run to write a checkpoint once the process that started it is gone."""


def end_with_parent() -> None:
    """Let the end of standard input, a pipe from the parent, end this process as SIGTERM does.

    Nothing else reads the pipe from here on, and Ctrl-C counts even where it was ignored: it comes
    from the parent.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe = os.dup(0)  # a copy that no process started by the run inherits
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_watch, args=[pipe], daemon=True).start()


def _watch(pipe: int) -> None:
    os.read(pipe, 1)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
