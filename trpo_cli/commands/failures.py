"""How the six commands run: what goes wrong becomes one paragraph on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from trpo_cli.commands.arguments import Left
from trpo_cli.distributed.processes import process_number
from trpo_cli.errors import RunFailed, ToldElsewhere, UserError, describe, name_too_long
from trpo_cli.kernels import store
from trpo_cli.system.signals import Interrupted, Stop
from trpo_cli.terminal.display import is_quiet, on_screen
from trpo_cli.terminal.streams import mend_streams
from trpo_cli.untrusted import printable

INTERRUPTED = 130


def run_command(
    name: str,
    command: Callable[[list[str]], int | None],
    argv: Sequence[str] | None,
    switch: str = "--debug",
) -> int:
    """Run a command with its arguments; returns the exit status: 0, 2 for bad input, 3 for a
    failure, 128 + n after signal n (130 for Ctrl-C).

    switch: the argument that asks for tracebacks.
    """
    begin_process()
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = switch in map(str.lower, arguments)
    return guarded(name, lambda: command(arguments), debug=debug, switch=switch)


def begin_process() -> None:
    """What every process of a command does first."""
    limit_library_threads()
    mend_streams()
    store.listen(say_what_takes_long)
    # What is not finite is found and told in one paragraph, by `training.guards`.
    numbers = r"(overflow|underflow|invalid value|divide by zero) encountered"
    warnings.filterwarnings("ignore", numbers, RuntimeWarning)


def say_what_takes_long(words: str) -> None:
    """A line of progress about what happens once, such as compiling."""
    if process_number() == 0 and not is_quiet():
        print(words, file=sys.stderr, flush=True)


def limit_library_threads() -> None:
    """One thread per BLAS or OpenMP call unless the person says otherwise.

    Read once, when numpy and torch are imported. The matrices here are small, so more threads only
    wait for each other; a run's own threads step environments.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def guarded(
    name: str, action: Callable[[], int | None], *, debug: bool, switch: str = "debug=true"
) -> int:
    """Do something and return the exit status; say on stderr what went wrong."""
    try:
        with Stop(deferred=False):
            status = action() or 0
        sys.stdout.flush()  # here, where a full disk can still be told
        return status
    except Interrupted as signal:
        print(f"{name}: interrupted by {signal}.", file=sys.stderr)
        return signal.exit_status
    except KeyboardInterrupt:
        print(f"{name}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except Left:
        raise
    except BaseException as error:  # sys.exit() in somebody's environment is no way to succeed
        return report(error, name, debug=debug, switch=switch)


def report(
    error: BaseException, who: str = "trpo-run", *, debug: bool, switch: str = "debug=true"
) -> int:
    """Print what went wrong and return the exit status that says whose fault it is."""
    if isinstance(error, ToldElsewhere):
        return error.exit_status
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        error = name_too_long(str(error.filename))
    if debug:
        traceback.print_exception(error)
    known = isinstance(error, (UserError, RunFailed))
    hint = "" if debug or known else f" ({switch} shows where)"
    text = on_screen(printable(f"{who}: {words(error)}{hint}"), sys.stderr)
    print(text, file=sys.stderr, flush=True)
    return error.exit_status if isinstance(error, (UserError, RunFailed)) else RunFailed.exit_status


def words(error: BaseException) -> str:
    """What went wrong, as one paragraph."""
    return str(error) if isinstance(error, UserError) else describe(error)
