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

from trpo_cli.config import ATARI_ID, conf_dir
from trpo_cli.errors import UserError

GYMNASIUM = "gymnasium"


class GymnasiumSource(ConfigSource):
    """Answers every ``env/<id>`` with ``{id: <id>}``; last on the path, so YAML files win.

    And ``atari/<algo>/<id>``, for the ids of Atari games, with the file conf/atari/<algo>.yaml.
    """

    @staticmethod
    def scheme() -> str:
        return GYMNASIUM

    def load_config(self, config_path: str) -> ConfigResult:
        name = config_path.removesuffix(".yaml")
        if (preset := _preset(name)) is not None:
            config, package = OmegaConf.load(preset), "_global_"
        else:
            config, package = OmegaConf.create({"id": name.removeprefix("env/")}), None
        return ConfigResult(
            provider=self.provider,
            path=self.full_path(),
            config=config,
            header={"package": package},
        )

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.rstrip("/") == "env"

    def is_config(self, config_path: str) -> bool:
        if config_path.startswith("env/"):
            return len(config_path) > len("env/")
        return _preset(config_path.removesuffix(".yaml")) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The registered ids, for shell completion."""
        if not self.is_group(config_path) or results_filter == ObjectType.GROUP:
            return []
        import gymnasium

        return sorted(gymnasium.registry)


def _preset(name: str) -> Path | None:
    """The file behind ``atari/<algo>/<id>``; None for other names and games."""
    group, _, rest = name.partition("/")
    algo, _, env = rest.partition("/")
    path = conf_dir() / "atari" / f"{algo}.yaml"
    return path if group == "atari" and ATARI_ID.search(env) and path.exists() else None


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
