"""The settings of ``hydra/launcher=workers``, the launcher that runs sweeps by default."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf


@dataclass
class WorkersConf:
    """jobs: how many runs go on at a time; null: as many as there are cores for."""

    jobs: int | None = None


@functools.cache
def register() -> None:
    """Make the launcher known. Hydra never instantiates it: it needs more of a job than its
    overrides (`LocalLauncher` in multirun/local.py)."""
    ConfigStore.instance().store(group="hydra/launcher", name="workers", node=WorkersConf)


def is_workers(master: DictConfig) -> bool:
    """Whether a sweep's configuration chooses it."""
    return OmegaConf.get_type(master.hydra.launcher) is WorkersConf
