"""States inside states: the keys of a part begin with its name, as in a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def join(parts: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """One state of several: {"adam": {"mean": x}} becomes {"adam/mean": x}."""
    return {f"{name}/{key}": x for name, state in parts.items() for key, x in state.items()}


def part(state: Mapping[str, T], name: str) -> dict[str, T]:
    """One of those that were joined; empty when there is none of that name."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
