"""The command lines of all commands: one parser, and the types of numbers."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable
from typing import Any, NoReturn

from trpo_cli import __version__
from trpo_cli.errors import UserError
from trpo_cli.terminal.display import fitted

SEE_ALSO = (
    "commands: trpo-run trains, trpo-eval evaluates, trpo-compare compares, trpo-tune searches, "
    "trpo-lab experiments"
)


class Left(SystemExit):
    """A command ends early because what was asked for is printed: its help, its version."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`s that name the command."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            self._print_message(message)
        raise Left(status)

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized"):
            word = message.split()[2].partition("=")[0]
            flags = [flag for flag in self._option_string_actions if "=" not in flag]
            close = difflib.get_close_matches(word, flags, 1, 0.7)
            hint = f" Did you mean {close[0]}?" if close else ""
            if not hint and self.get_default("overrides") is not None:
                hint = " Settings are written without dashes, such as algo=ppo."
        raise UserError(
            f"{message[0].upper()}{message[1:]}.{hint} {self.prog} --help lists what there is."
        )


def make_parser(name: str, description: str | None, epilog: str = "", **options: Any) -> Parser:
    """A command's parser, without its own arguments. The text of its help stays as written."""
    return Parser(
        prog=name,
        allow_abbrev=False,
        description=description and fitted(description),
        epilog=fitted(epilog + SEE_ALSO),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def add_common(parser: Parser) -> None:
    """The options that come last in every command but ``trpo-run``."""
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--version", action="version", version=version_of(parser.prog))


def version_of(name: str) -> str:
    """ "trpo-lab lqr" has the version of trpo-lab."""
    return f"{name.split()[0]} {__version__}"


def whole_number(lowest: int, words: str) -> Callable[[str], int]:
    """The type of an option whose value is lowest, lowest + 1, ..."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text} is not a {words}")
        return int(text)

    return parse


positive = whole_number(1, "positive whole number")
natural = whole_number(0, "whole number >= 0")
