"""Errors that a person caused or can mend: one paragraph each, no traceback."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOREIGN = (Exception, SystemExit)
"""What code of somebody else's may raise at us. Ctrl-C passes through."""


class UserError(Exception):
    """Bad input: reported as one paragraph on stderr with exit status 2."""

    exit_status = 2


class RunFailed(Exception):
    """A run that started and could not go on: one paragraph, exit status 3.

    arrays, facts: what it failed on and where, for the crash folder; facts are JSON.
    """

    exit_status = 3

    def __init__(
        self,
        message: str,
        *,
        arrays: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.arrays, self.facts = dict(arrays or {}), dict(facts or {})


class LostProcess(RunFailed):
    """Another process of the run is gone."""


class ToldElsewhere(Exception):
    """Another process of the run tells why it ended. The exit status is 0 here: a launcher ends
    all processes when one fails, and that one has yet to speak."""

    exit_status = 0


class CannotWrite(RunFailed):
    """The disk refuses a file: full, read-only or gone."""

    def __init__(self, path: Path, error: OSError) -> None:
        why = f"{path} cannot be written: {error.strerror or error}."
        super().__init__(why + _ADVICE.get(error.errno or 0, ""))


def name_too_long(name: str, given: str = "") -> UserError:
    """For an `OSError` of that kind. given: the key that it is the value of, with its "="."""
    return UserError(
        f"{given}{name[:60]}...: the name is too long for the file system. Choose a shorter one."
    )


def describe(error: BaseException) -> str:
    """What went wrong, as one paragraph without a traceback."""
    if isinstance(error, RunFailed):
        return str(error)
    if isinstance(error, MemoryError):
        return (
            "out of memory: try a smaller batch (sampler.num_envs, sampler.steps_per_env) or "
            "smaller networks (policy.hidden_sizes, value.hidden_sizes)."
        )
    if isinstance(error, SystemExit):
        return (
            f"something in the environment, or in another module of your own, called "
            f"sys.exit({'' if error.code is None else repr(error.code)}), which would end the run "
            "without a word. Raise an error there instead."
        )
    words = " ".join(str(error).split())
    return f"failed with {type(error).__name__}: {words}"


_FULL = " Make room there."
_LOCKED = " Give this user the right to write there."
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: " Files of that size are not allowed there (ulimit -f).",
    errno.EACCES: _LOCKED,
    errno.EPERM: _LOCKED,
    errno.EROFS: " It is mounted read-only.",
    errno.ELOOP: " It is a symbolic link, and a run writes into its own folder only. Remove it.",
    errno.ENOENT: " Was the folder moved or removed meanwhile?",
}
