"""What the command lines of all commands but ``trpo-run`` share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from trpo_cli.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`s that name the command."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[0].upper()}{message[1:]}. {self.prog} --help lists the options.")


def positive(text: str) -> int:
    """An option's value: 1, 2, ..."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)
