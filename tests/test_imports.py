"""Imports point one way, without a circle: checked on the syntax trees of all modules.

    python -m tests.test_imports

prints the layers, what each of them imports, and any circle.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "trpo_cli"

# From the bottom to the top: each package, or file at the top, and which of those above it in this
# list it may import. Imports within functions and for type checkers count.
LAYERS = {
    "version": "",
    "errors": "",
    "seeding": "",
    "env_ids": "",
    "maths": "",
    "untrusted": "",
    "kernels": "",
    "settings": "errors",
    "components": "errors settings",
    "system": "errors",
    "distributed": "errors system",
    "data": "maths distributed",
    "runs": "version errors untrusted system",
    "terminal": "errors untrusted system runs",
    "config": "errors env_ids untrusted settings components system",
    "simulators": "errors env_ids kernels settings components config",
    "models": "errors kernels seeding maths settings components distributed data",
    "estimators": "errors maths settings components distributed data models",
    "samplers": "errors kernels seeding maths settings components distributed data simulators "
    "models",
    "algos": "errors kernels seeding maths settings components data models",
    "export": "errors maths data simulators models",
    "video": "errors simulators",
    "lab": "errors untrusted settings runs simulators",
    "compare": "errors env_ids untrusted maths runs settings",
    "sweeps": "errors untrusted system runs terminal",
    "race": "errors runs terminal compare sweeps",
    "tune": "errors untrusted settings system runs terminal sweeps",
    "reference": "errors env_ids runs compare",
    "trackers": "errors settings components system runs sweeps",
    "training": "errors seeding maths settings components system distributed data runs terminal "
    "config simulators models estimators samplers algos video trackers",
    "commands": "version errors env_ids untrusted kernels settings components system distributed "
    "runs terminal config simulators samplers export compare lab sweeps race tune reference "
    "training video trackers",
    "api": "errors runs config simulators models compare sweeps training",
    "__init__": "version api",
    "__main__": "commands",
}
THIRD_PARTY = {
    "errors": set[str](),
    "settings": set[str](),
    "components": {"yaml"},
    "maths": {"torch", "numpy"},
    "compare": {"numpy", "scipy", "yaml", "matplotlib"},  # it starts fast
}
HYDRA_ONLY = {"commands", "config"}

Graph = Mapping[str, set[str]]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[str]:
    """What a file imports, as dotted names: modules, or names in modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str, modules: Iterable[str]) -> str | None:
    """The module of ours that a dotted name lies in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def layer_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def module_graph() -> dict[str, set[str]]:
    return {
        name: {m for x in imports(tree) if (m := module_of(x, TREES)) and m != name}
        for name, tree in TREES.items()
    }


MODULES = module_graph()


def layer_graph(modules: Graph) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for name, imported in modules.items():
        found = graph.setdefault(layer_of(name), set())
        found |= {layer_of(m) for m in imported} - {layer_of(name)}
    return graph


def circle(graph: Graph) -> list[str]:
    """Some nodes, each of which imports the next, the last one being the first; empty if none."""
    done: set[str] = set()

    def search(path: list[str]) -> list[str]:
        for node in sorted(graph.get(path[-1], ())):
            if node in path:
                return [*path[path.index(node) :], node]
            if node not in done and (found := search([*path, node])):
                return found
        done.add(path[-1])
        return []

    return next(filter(None, (search([node]) for node in graph if node not in done)), [])


@pytest.mark.parametrize("module", TREES)
def test_a_module_imports_what_its_layer_may(module: str) -> None:
    layer = layer_of(module)
    ours = {layer_of(m) for m in MODULES[module]} - {layer}
    assert ours <= set(LAYERS[layer].split())
    foreign = {x.split(".")[0] for x in imports(TREES[module])}
    foreign -= {"trpo_cli", *sys.stdlib_module_names}
    assert foreign <= THIRD_PARTY.get(layer, foreign)
    assert layer in HYDRA_ONLY or not foreign & {"hydra", "omegaconf"}


def test_a_layer_imports_lower_ones_only() -> None:
    order = list(LAYERS)
    for layer, lower in LAYERS.items():
        assert set(lower.split()) <= set(order[: order.index(layer)]), layer


def test_there_is_no_circle() -> None:
    assert circle(MODULES) == []
    assert circle(layer_graph(MODULES)) == []


def test_a_circle_would_be_found() -> None:
    chain = {"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set[str]()}
    assert circle(chain) == []
    assert circle({**chain, "d": {"b"}}) == ["b", "c", "d", "b"]


def test_nothing_heavy_at_the_top_of_what_help_and_errors_need() -> None:
    """torch, numpy, gymnasium and mujoco only inside functions there."""
    for name, tree in TREES.items():
        if layer_of(name) in {"commands", "config", "settings", "components", "errors", "__init__"}:
            top: list[ast.stmt] = [
                n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
            ]
            found = {m.split(".")[0] for m in imports(ast.Module(top, []))}
            assert not found & {"torch", "numpy", "gymnasium", "mujoco"}, name


def main() -> None:
    layers = layer_graph(MODULES)
    print("From the bottom to the top, what each layer imports:\n")
    for layer in LAYERS:
        lower = [name for name in LAYERS if name in layers.get(layer, ())]
        print(f"  {layer:<12} {' '.join(lower)}")
    print()
    for what, graph in (("modules", MODULES), ("layers", layers)):
        found = circle(graph)
        print(f"Circle between {what}: {' -> '.join(found) or 'none'}")


if __name__ == "__main__":
    main()
