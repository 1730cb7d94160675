"""From override strings to a validated `Config`, through Hydra."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from trpo_cli.commands.hydra import launcher_schema
from trpo_cli.commands.hydra.explain import explain
from trpo_cli.commands.hydra.overrides import check_overrides, check_settings
from trpo_cli.commands.hydra.search_path import search_path
from trpo_cli.components import HOMES
from trpo_cli.config import Config, check_read, validate
from trpo_cli.config.schema import all_options, to_config
from trpo_cli.errors import UserError

CONFIG_NAME = "config"


def start_hydra(config_dir: str | None = None) -> Hydra:
    """A Hydra object that knows our files, our schemas and every Gymnasium id."""
    launcher_schema.register()
    GlobalHydra.instance().clear()
    return Hydra.create_main_hydra2("trpo-run", search_path(config_dir))


def compose(
    hydra: Hydra, overrides: Sequence[str], recorded: bool = False
) -> tuple[Config, DictConfig]:
    """The validated configuration, and Hydra's own settings for this run.

    recorded: the overrides were accepted when a sweep or search began, by this version or an older
        one that did not refuse settings that nothing reads.

    Raises `UserError` naming the key, the value received and what to try.
    """
    overrides = check_overrides(overrides)
    loader: Any = hydra.config_loader
    said = check_settings(overrides, loader.repository.group_exists)
    try:
        composed = hydra.compose_config(
            config_name=CONFIG_NAME,
            overrides=list(overrides),
            run_mode=RunMode.RUN,
            with_log_configuration=False,
        )
        for key in ("hydra.run.dir", "hydra.sweep.dir"):
            # Raises what is wrong with it; an empty path would be the working directory.
            if OmegaConf.select(composed, key, throw_on_missing=True) == "":
                raise UserError(f"{key}= needs a folder. Leave {key} out to get a fresh one.")
        config = validated(composed)
    except UserError:
        raise
    except Exception as error:
        raise explain(error, overrides) from error
    if not recorded:
        accept(config, said)
    return config, composed.hydra


def accept(config: Config, said: Sequence[str]) -> None:
    """Refuse what a valid configuration may not hold where a person gave the settings `said`."""
    check_read(config, said)
    # Nothing here opens a window: most environments are simulated without their own step.
    if config.env.kwargs.get("render_mode") == "human":
        raise UserError(
            "env.kwargs.render_mode=human: nothing is drawn in training. Leave it out; trpo-eval "
            "RUN_DIR --render human shows a trained policy."
        )


def config_of(*overrides: str) -> Config:
    """The validated configuration of a command line, for scripts and tests."""
    return compose(start_hydra(), overrides)[0]


def validated(composed: DictConfig) -> Config:
    """Plain dataclasses from a composed configuration, validated."""
    container: Any = composed.copy()
    OmegaConf.set_struct(container, False)
    container.pop("hydra", None)
    for group in HOMES:
        if OmegaConf.is_missing(container, group) or container[group] is None:
            raise UserError(f"{group}: one of {', '.join(all_options()[group])} must be chosen.")
        if not dataclasses.is_dataclass(OmegaConf.get_type(container, group)):
            raise UserError(
                f"{group}: the file of the option chosen names no schema; like those in "
                f"conf/{group} it begins with defaults: [/schema/{group}/<name>@{group}, _self_]."
            )
    config = to_config(container)
    validate(config)
    return config
