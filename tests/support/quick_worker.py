"""A worker whose jobs take no time: each does what its overrides say, word by word."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from trpo_cli.sweeps.serve import serve
from trpo_cli.system.signals import Stop


def run(message: dict[str, Any]) -> tuple[int, str]:
    folder = Path(message["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pid").write_text(str(os.getpid()))
    for word in message["overrides"]:
        if word == "print":
            print("on standard output", flush=True)
            os.system("echo from a process of its own >&2")
        elif word == "threads":
            return 0, str(message["threads"])
        elif word == "raise":
            raise ValueError("no such luck")
        elif word == "leave":
            sys.exit(7)
        elif word == "bad":
            return 2, "bad input."
        elif word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "crash":
            ctypes.string_at(0)
        elif word == "vanish":
            os._exit(9)
        elif word == "work":  # until it is told to stop, as a run does
            with Stop(deferred=True, quiet=True) as stop:
                while not stop.requested():
                    time.sleep(0.01)
                (folder / "checkpoint").touch()
        elif word == "hang":  # deaf to a first signal
            with Stop(deferred=True, quiet=True):
                time.sleep(60)
    return 0, ""


if __name__ == "__main__":
    serve(run)
