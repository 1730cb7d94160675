"""Where Hydra looks for configuration, and ``env=<any Gymnasium id>`` as a real group option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from trpo_cli.command.options import conf_dir
from trpo_cli.errors import UserError

GYMNASIUM = "gymnasium"


class GymnasiumSource(ConfigSource):
    """Answers every ``env/<id>`` with ``{id: <id>}``; last on the path, so YAML files win."""

    @staticmethod
    def scheme() -> str:
        return GYMNASIUM

    def load_config(self, config_path: str) -> ConfigResult:
        name = config_path.removeprefix("env/").removesuffix(".yaml")
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.create({"id": name}),
            header={"package": None},
        )

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") == "env"

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith("env/") and len(config_path) > len("env/")

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The registered ids, for shell completion."""
        if not self.is_group(config_path) or results_filter == ObjectType.GROUP:
            return []
        import gymnasium

        return sorted(gymnasium.registry)


class SearchPath(ConfigSearchPathImpl):
    """A search path whose Gymnasium source stays behind whatever is appended later."""

    def append(self, provider: str, path: str, anchor: Any = None) -> None:
        super().append(provider, path, anchor)
        elements = self.config_search_path
        last = [e for e in elements if e.provider == GYMNASIUM]
        schema = [e for e in elements if e.provider == "schema"]
        rest = [e for e in elements if e not in last and e not in schema]
        self.config_search_path = [*rest, *last, *schema]


def search_path(config_dir: str | None) -> ConfigSearchPath:
    """Hydra's own files, ours, the person's ``--config-dir``, any Gymnasium id, the schemas."""
    SourcesRegistry.instance().register(GymnasiumSource)
    path = SearchPath()
    # Search-path plugins of other packages get their say: Hydra's function asks them.
    for element in create_config_search_path(f"file://{conf_dir()}").get_path():
        path.append(element.provider, element.path)
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: there is no such folder.")
        path.append("command-line", f"file://{folder}")
    path.append(GYMNASIUM, f"{GYMNASIUM}://")
    return path
