"""Hydra's own flags that look without running: --cfg, --info, --hydra-help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from hydra._internal.hydra import Hydra

from trpo_cli.commands.hydra.compose import CONFIG_NAME, start_hydra
from trpo_cli.commands.hydra.explain import explain
from trpo_cli.commands.hydra.overrides import check_overrides
from trpo_cli.errors import UserError


def inspect(args: argparse.Namespace) -> int:
    """Print what was asked for; returns the exit status."""
    hydra = start_hydra(args.config_dir)
    overrides = check_overrides(args.overrides)
    try:
        _show(hydra, args, overrides)()
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        raise explain(error, overrides) from error
    return 0


def _show(hydra: Hydra, args: argparse.Namespace, overrides: list[str]) -> Callable[[], Any]:
    if args.hydra_help:
        return lambda: hydra.hydra_help(CONFIG_NAME, _hydras_parser(), args)
    if args.info:
        return lambda: hydra.show_info(args.info, CONFIG_NAME, overrides)
    return lambda: hydra.show_cfg(CONFIG_NAME, overrides, args.cfg, args.package, args.resolve)


def _hydras_parser() -> argparse.ArgumentParser:
    """Hydra's own parser. One of its help texts is no string (1.3.8), which argparse refuses from
    Python 3.14 on, where it looks at each; printed they are all the same."""
    from unittest import mock

    from hydra._internal.utils import get_args_parser

    with mock.patch.object(argparse.ArgumentParser, "_check_help", create=True):
        return get_args_parser()
