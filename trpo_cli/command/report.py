"""How a failure is told: one paragraph on stderr, an exit status, a traceback only when asked."""

from __future__ import annotations

import sys
import traceback

from trpo_cli.errors import RunFailed, ToldElsewhere, UserError
from trpo_cli.runs.crash import describe


def report(error: Exception, who: str = "trpo-run", *, debug: bool) -> int:
    """Print what went wrong and return the exit status that says whose fault it is."""
    if isinstance(error, ToldElsewhere):
        return error.exit_status
    if debug:
        traceback.print_exception(error)
    if isinstance(error, (UserError, RunFailed)):
        print(f"{who}: {error}", file=sys.stderr, flush=True)
        return error.exit_status
    hint = "" if debug else " (debug=true shows where)"
    print(f"{who}: {describe(error)}{hint}", file=sys.stderr, flush=True)
    return RunFailed.exit_status
