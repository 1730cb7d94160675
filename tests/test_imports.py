"""Imports point one way, and every setting is read by something: checked on syntax trees."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trpo_cli.config import GROUPS, Config

PACKAGE = Path(__file__).parents[1] / "trpo_cli"
FILES = sorted(p for p in PACKAGE.rglob("*.py"))
NAMES = [p.relative_to(PACKAGE).as_posix() for p in FILES]
TREES = {name: ast.parse(path.read_text()) for name, path in zip(NAMES, FILES, strict=True)}

# Which of our parts each part may import; a part is a file or folder directly in the package.
BASE = {"errors", "settings", "config", "data", "distributed", "__init__"}
ALLOWED = {
    "errors": set[str](),
    "settings": {"errors"},
    "config": {"errors", "settings", "maths", "data", "simulators", "system"},
    "data": {"maths", "distributed"},
    "maths": {"distributed"},
    "models": {"maths", *BASE},
    "simulators": BASE | {"settings"},
    "lab": {"errors", "settings", "runs", "simulators"},
    "samplers": {"maths", "models", "simulators", "seeding", *BASE},
    "algos": {"maths", "models", "seeding", *BASE},
    "runs": {"errors", "system", "__init__"},
    "system": {"errors"},
    "terminal": {"runs", "errors"},
    "sweeps": {"errors", "runs", "system", "terminal"},
    "compare": {"errors", "runs", "maths"},  # maths: the schedules, which need no torch
    "distributed": {"errors", "maths", "runs", "system"},
}
THIRD_PARTY = {
    "errors": set[str](),
    "settings": set[str](),
    "maths": {"torch", "numpy"},
    "compare": {"numpy", "scipy", "yaml", "matplotlib"},  # it starts fast
}
HYDRA_ONLY = {"commands", "config"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module a file imports, function bodies included; `TYPE_CHECKING` ones as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            module = node.module or ""
            if module == "trpo_cli":  # from trpo_cli import part
                yield from (f"trpo_cli.{alias.name}" for alias in node.names)
            else:
                yield module


def part_of(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name: str) -> None:
    part = part_of(name)
    modules = list(imports(TREES[name]))
    ours = {m.split(".")[1] for m in modules if m.startswith("trpo_cli.")} - {part}
    ours -= {m for m in ours if m.startswith("__")}
    if part in ALLOWED:
        assert ours <= ALLOWED[part]
    assert part in ("commands", "__main__") or "commands" not in ours
    foreign = {m.split(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"trpo_cli"}
    if part in THIRD_PARTY:
        assert foreign <= THIRD_PARTY[part]
    if part not in HYDRA_ONLY:
        assert not foreign & {"hydra", "omegaconf"}


def test_nothing_heavy_at_the_top_of_what_help_and_errors_need() -> None:
    """torch, numpy, gymnasium and mujoco only inside functions there."""
    for name, tree in TREES.items():
        if part_of(name) in {"commands", "config", "settings", "errors", "__init__"}:
            assert isinstance(tree, ast.Module)
            top = ast.Module(
                [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []
            )
            found = {m.split(".")[0] for m in imports(top)}
            assert not found & {"torch", "numpy", "gymnasium", "mujoco"}, name


def test_every_setting_is_read_by_something() -> None:
    """A setting that no code outside the configuration reads would be documented and void."""
    read = {
        node.attr
        for name, tree in TREES.items()
        if part_of(name) not in {"config", "settings"}
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    kinds = [kind for options in GROUPS.values() for kind in options.values()]
    sections = [type(getattr(Config(), f.name)) for f in dataclasses.fields(Config)]
    kinds += [Config, *(s for s in sections if dataclasses.is_dataclass(s))]
    unread = {
        f"{kind.__name__}.{field.name}"
        for kind in kinds
        for field in dataclasses.fields(kind)
        if field.name != "name" and field.name not in read
    }
    assert unread == set()
