"""Where Hydra looks for configuration: our YAML files, a person's own, and what needs no file.

``env=<any Gymnasium id>`` and ``algo=module:Class`` are real options, without a file of that name.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from trpo_cli.components import (
    ALSO,
    HOMES,
    TUNED,
    conf_dir,
    file_names,
    load,
    read_yaml,
    set_with,
)
from trpo_cli.config.schema import option_schema, top_schema
from trpo_cli.env_ids import is_game, unversioned
from trpo_cli.errors import UserError

NO_FILE = "components"


class FilesSource(FileConfigSource):
    """A folder of YAML files laid out like conf/.

    What a file has under ``with`` (an update rule's, an environment's, one of tuned settings) is no
    part of the file's own content. It answers as configurations of their own:
    ``with_value/<rule>/<value>``, ``with_env/<rule>/<id>``, ``with_advantage/<id>/<advantage>`` and
    ``with_tuned/<file>/<rule>/<id>``.
    """

    @staticmethod
    def scheme() -> str:
        return "conf"

    def load_config(self, config_path: str) -> ConfigResult:
        also = self._also(config_path)
        if also:
            return ConfigResult(
                provider=self.provider,
                path=self.full_path(),
                config=OmegaConf.create(also),
                header={"package": "_global_"},
            )
        result = super().load_config(config_path)
        if config_path.startswith(("algo/", "env/", f"{TUNED}/")) and isinstance(
            result.config, DictConfig
        ):
            result.config.pop(ALSO, None)
        return result

    def is_config(self, config_path: str) -> bool:
        return bool(self._also(config_path)) or super().is_config(config_path)

    def _also(self, config_path: str) -> dict[str, Any]:
        group, _, rest = config_path.removesuffix(".yaml").partition("/")
        chosen, _, choice = rest.partition("/")
        folder = Path(self.path)
        if group == "with_value":
            also = set_with(folder, f"algo/{chosen}", f"value={choice}")
            return {"value": also} if also else {}
        if group == "with_tuned":
            return _tuned(folder, *rest.split("/", 2)) if rest.count("/") > 1 else {}
        if group == "with_env" and is_game(choice):
            return set_with(folder, f"algo/{chosen}", "env=atari")
        if group == "with_advantage":
            chosen, _, choice = rest.rpartition("/")
            also = set_with(folder, f"env/{chosen}", f"advantage={choice}")
            return {"advantage": also} if also else {}
        return {}


def _tuned(folder: Path, name: str, rule: str, env: str) -> dict[str, Any]:
    """What the file ``tuned/<name>.yaml`` sets for a rule on a task, whatever the task's version.

    Raises `UserError` where the file has no such entry: nobody is to take the defaults for settings
    that were searched for. A file without entries, or none at all, sets nothing.
    """
    content = read_yaml(folder / TUNED / f"{name}.yaml")
    if ALSO not in content:
        return {}
    known: dict[str, Any] = content[ALSO]
    entry = f"algo={rule} env={unversioned(env)}"
    if entry not in known:
        raise UserError(
            f"tuned={name} has no settings for algo={rule} env={env}. It has some for "
            f"{'; '.join(known)}. Leave tuned out to train with the defaults."
        )
    return dict(known[entry] or {})


class NoFileSource(ConfigSource):
    """Answers ``env/<id>`` for every id, ``<group>/<module>:<Class>`` with the settings of somebody
    else's component, and ``schema/<group>/<name>`` with the dataclass of one of ours, against which
    types and typos are checked on merging. It is last on the path, so YAML files win."""

    @staticmethod
    def scheme() -> str:
        return NO_FILE

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        package = None
        if group == "env":
            config = OmegaConf.create({"id": name})
        elif group == "schema":
            config = copy.deepcopy(_schema(name))
            package = "_global_" if name == "config" else None
        else:
            config = OmegaConf.structured(load(group, name))
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
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        if group == "schema":
            component, _, option = name.partition("/")
            return name == "config" or (component in HOMES and option in file_names(component))
        return bool(name) and (group == "env" or (group in HOMES and ":" in name))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The registered ids, for shell completion."""
        if not self.is_group(config_path) or results_filter == ObjectType.GROUP:
            return []
        import gymnasium

        return sorted(gymnasium.registry)


@functools.cache
def _schema(name: str) -> DictConfig:
    """The typed node of ``<group>/<option>``, or of the whole: ``config``. Not to be changed."""
    if name == "config":
        return OmegaConf.structured(top_schema())
    group, _, option = name.partition("/")
    return OmegaConf.structured(option_schema(load(group, option)))


class SearchPath(ConfigSearchPathImpl):
    """A search path whose source without files stays behind whatever is appended later."""

    def append(self, provider: str, path: str, anchor: Any = None) -> None:
        super().append(provider, path, anchor)
        elements = self.config_search_path
        last = [e for e in elements if e.provider == NO_FILE]
        schema = [e for e in elements if e.provider == "schema"]
        rest = [e for e in elements if e not in last and e not in schema]
        self.config_search_path = [*rest, *last, *schema]


def search_path(config_dir: str | None) -> ConfigSearchPath:
    """Hydra's own files, ours, the person's ``--config-dir``, what needs no file, the schemas."""
    for source in (FilesSource, NoFileSource):
        SourcesRegistry.instance().register(source)
    path = SearchPath()
    # Search-path plugins of other packages get their say: Hydra's function asks them.
    for element in create_config_search_path(f"conf://{conf_dir()}").get_path():
        path.append(element.provider, element.path)
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise UserError(f"--config-dir {config_dir}: there is no such folder.")
        path.append("command-line", f"conf://{folder}")
    path.append(NO_FILE, f"{NO_FILE}://")
    return path
