"""Errors that a person caused or can mend: one paragraph each, no traceback."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: reported as one paragraph on stderr with exit status 2."""

    exit_status = 2


class RunFailed(Exception):
    """A run that started and could not go on: one paragraph, exit status 3."""

    exit_status = 3
