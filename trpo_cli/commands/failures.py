"""How a failure is told: one paragraph on stderr, an exit status, a traceback only when asked."""

from __future__ import annotations

import sys
import traceback

from trpo_cli.errors import RunFailed, ToldElsewhere, UserError, describe


def report(error: Exception, who: str = "trpo-run", *, debug: bool) -> int:
    """Print what went wrong and return the exit status that says whose fault it is."""
    if isinstance(error, ToldElsewhere):
        return error.exit_status
    if debug:
        traceback.print_exception(error)
    known = isinstance(error, (UserError, RunFailed))
    hint = "" if debug or known else " (debug=true shows where)"
    print(f"{who}: {words(error)}{hint}", file=sys.stderr, flush=True)
    return error.exit_status if isinstance(error, (UserError, RunFailed)) else RunFailed.exit_status


def words(error: Exception) -> str:
    """What went wrong, as one paragraph."""
    return str(error) if isinstance(error, UserError) else describe(error)
