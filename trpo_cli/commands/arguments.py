"""The command lines of all commands: one parser, and the types of numbers."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trpo_cli.errors import UserError
from trpo_cli.terminal.display import fitted
from trpo_cli.version import __version__

SEE_ALSO = (
    "commands: trpo-run trains, trpo-eval evaluates, trpo-compare compares, trpo-export takes the "
    "policy away, trpo-tune searches, trpo-lab experiments"
)


class Left(SystemExit):
    """A command ends early because what was asked for is printed: its help, its version."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`s that name the command."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            self._print_message(message)
        raise Left(status)

    def flags(self) -> dict[str, argparse.Action]:
        """What begins with a dash, and what it does."""
        return self._option_string_actions

    def positional(self) -> argparse.Action | None:
        """What the words without a dash are."""
        return next(iter(self._get_positional_actions()), None)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A flag that does not exist is told first: what else is wrong may come from it."""
        for word in args:
            if word == "--":
                break
            known = word in self.flags() or word.partition("=")[0] in self.flags()
            if word.startswith("--") and not known:
                self.error(f"unrecognized arguments: {word}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized"):
            word = message.split()[2].partition("=")[0]
            flags = [flag for flag in self.flags() if "=" not in flag]
            close = difflib.get_close_matches(word, flags, 1, 0.7)
            hint = f" Did you mean {close[0]}?" if close else ""
            if not hint and self.get_default("overrides") is not None:
                hint = " Settings are written without dashes, such as algo=ppo."
        raise UserError(
            f"{message[0].upper()}{message[1:]}.{hint} {self.prog} --help lists what there is."
        )


def make_parser(name: str, description: str | None, epilog: str = "", **options: Any) -> Parser:
    """A command's parser, without its own arguments."""
    return Parser(
        prog=name,
        allow_abbrev=False,
        description=description and fitted(paragraphs(description)),
        epilog=fitted(epilog + SEE_ALSO),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def paragraphs(text: str) -> str:
    """The text with a line for each paragraph; lines that are indented, such as formulas, stay."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text)


def refuse_repeated(overrides: Sequence[str], sweeps: bool = False) -> None:
    """Raise `UserError` for a setting that is given twice: the last one would win unsaid.

    sweeps: whether the command has -m, which takes several values.
    """
    seen = dict[str, str]()
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if (first := seen.get(key)) is not None:
            values = first.partition("=")[2], value
            several = sweeps and all(re.fullmatch(r"[\w./:,+-]+", one) for one in values)
            several = several and key != "resume" and not key.startswith("hydra")
            hint = f"; a run with each is written -m {key}={','.join(values)}" if several else ""
            raise UserError(f"{key} is given twice: {first} and {text}. Keep one of them{hint}.")
        seen[key] = text


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
