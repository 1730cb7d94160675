"""The options of a race on the command line of ``trpo-run``."""

from __future__ import annotations

import argparse
import math

from trpo_cli.errors import UserError
from trpo_cli.race.record import ERROR_RATE, MAX_SEEDS, Bounds

FLAG = "--until-decided"
SEEDS_AT_MOST = 1000


def add_race(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(FLAG, action="store_true")
    parser.add_argument("--max-seeds", type=_seeds, metavar="N")
    parser.add_argument("--max-hours", type=_hours, metavar="H")
    parser.add_argument("--difference", type=_difference, metavar="D")
    parser.add_argument("--error-rate", type=_rate, metavar="P")


def check_race(args: argparse.Namespace, resumed: str | None) -> None:
    """Raise `UserError` for options of a race where there is none."""
    given = {
        "--max-seeds": args.max_seeds,
        "--difference": args.difference,
        "--error-rate": args.error_rate,
        "--max-hours": args.max_hours,
    }
    if resumed is not None:
        del given["--max-hours"]
        given = {FLAG: args.until_decided or None, **given}
    flag = next((flag for flag, value in given.items() if value is not None), None)
    if resumed is not None and flag is not None:
        raise UserError(
            f"{flag}: resume={resumed} goes on with the bounds that the race began with, for which "
            "its error rate holds. Leave it out; only --max-hours may be given anew."
        )
    if resumed is None and flag is not None and not args.until_decided:
        raise UserError(f"{flag} bounds a race: add -m {FLAG}, or leave it out.")
    if args.until_decided and not args.multirun and resumed is None:
        raise UserError(
            f"{FLAG} compares groups: add -m and several values, such as -m algo=trpo,ppo."
        )


def bounds_of(args: argparse.Namespace) -> Bounds:
    difference, share = args.difference or (None, False)
    return Bounds(
        args.max_seeds or MAX_SEEDS,
        args.max_hours,
        difference,
        share,
        args.error_rate or ERROR_RATE,
    )


def _seeds(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= SEEDS_AT_MOST:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 2 to {SEEDS_AT_MOST}")
    return int(text)


def _hours(text: str) -> float:
    return _positive(text, "number of hours, such as 0.5")


def _rate(text: str) -> float:
    value = _positive(text, "probability between 0 and 0.5, such as 0.05")
    if value > 0.5:
        raise argparse.ArgumentTypeError(f"{text} is no probability between 0 and 0.5")
    return value


def _difference(text: str) -> tuple[float, bool]:
    words = "difference of returns, such as 100, or part of the larger one, such as 10%"
    share = text.endswith("%")
    value = _positive(text.removesuffix("%"), words)
    return (value / 100.0 if share else value), share


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no {what}")
    return value
