"""The configuration: the whole as dataclasses, its checks, its text, and what `auto` becomes.

The settings of a component stand beside the component (see `trpo_cli.components`), and the values
that a run starts from in the YAML files under ``conf/``.
"""

from trpo_cli.config.checks import check_read, validate
from trpo_cli.config.env import AtariConfig, EnvConfig
from trpo_cli.config.schema import (
    CHANGEABLE,
    CheckpointConfig,
    Config,
    EvalConfig,
    loggers_of,
    may_change,
)
from trpo_cli.config.text import config_from_yaml, config_to_yaml, named_modules, read_config

__all__ = [
    "CHANGEABLE",
    "AtariConfig",
    "CheckpointConfig",
    "Config",
    "EnvConfig",
    "EvalConfig",
    "check_read",
    "config_from_yaml",
    "config_to_yaml",
    "loggers_of",
    "may_change",
    "named_modules",
    "read_config",
    "validate",
]
