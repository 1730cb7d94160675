"""A job under submitit that is to leave its machine: checkpoint, back into the queue, go on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from trpo_cli.commands.multirun.slurm import is_preempted
from trpo_cli.system.signals import HANDLED, Interrupted, Stop


@contextlib.contextmanager
def requeued_when_preempted() -> Iterator[None]:
    """A block that makes a run. Elsewhere than in a job of submitit's it does nothing.

    Slurm warns a job before it takes the machine away. submitit's handler of that signal (SIGUSR2
    unless SUBMITIT_PREEMPT_SIGNAL says otherwise) puts the job back into the queue and leaves at
    once, in the middle of an iteration. Here the run ends its iteration and writes a checkpoint
    first; the job that comes back finds a run that has begun, and goes on with it.

    Most clusters warn by SIGTERM, which is also how scancel begins, so Slurm is asked which it is.
    """
    if "SUBMITIT_EXECUTOR" not in os.environ or "submitit" not in sys.modules:
        yield
        return
    from submitit import JobEnvironment

    warning = JobEnvironment()._usr_sig()
    requeue, warned = signal.getsignal(warning), False

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        nonlocal warned
        warned = True
        signal.raise_signal(signal.SIGUSR1)  # one that a run knows

    if warning not in HANDLED:
        signal.signal(warning, ask_to_stop)
    try:
        with Stop(deferred=False):
            yield
    except Interrupted as error:
        terminated = error.exit_status == 128 + signal.SIGTERM
        asked = warned or error.exit_status == 128 + warning
        if callable(requeue) and (asked or (terminated and is_preempted())):
            requeue(warning, None)  # leaves the process
        raise
    finally:
        signal.signal(warning, requeue)
