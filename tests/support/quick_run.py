"""A run that takes no time: it does what its overrides say, word by word."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from trpo_cli.commands.failures import guarded
from trpo_cli.errors import UserError
from trpo_cli.sweeps.lifeline import end_with_parent
from trpo_cli.system.signals import Stop


def run(what: dict[str, Any]) -> None:
    folder = Path(what["folder"])
    folder.mkdir(parents=True, exist_ok=True)

    def known() -> None:
        (folder / "pid").write_text(str(os.getpid()))

    # A test that waits for this file may stop the run at once: it must be listening by then.
    if not {"work", "hang"} & set(what["overrides"]):
        known()
    for word in what["overrides"]:
        if word == "print":
            print("on standard output", flush=True)
            os.system("echo from a process of its own >&2")
        elif word == "threads":
            raise UserError(f"{what['threads']} threads.")
        elif word == "raise":
            raise ValueError("no such luck")
        elif word == "leave":
            print("no reason given", file=sys.stderr)
            sys.exit(7)
        elif word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "crash":
            ctypes.string_at(0)
        elif word == "vanish":
            os._exit(9)
        elif word == "work":  # until it is told to stop, as a run does
            with Stop(deferred=True, quiet=True) as stop:
                known()
                while not stop.requested():
                    time.sleep(0.01)
                (folder / "checkpoint").touch()
        elif word == "hang":  # deaf to a first signal
            with Stop(deferred=True, quiet=True):
                known()
                time.sleep(60)


def main() -> int:
    end_with_parent()

    return guarded("trpo-run", lambda: run(json.loads(sys.argv[1])), debug=False)


if __name__ == "__main__":
    sys.exit(main())
