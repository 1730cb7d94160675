"""What the id of an environment says by itself, without a look at any registry."""

from __future__ import annotations

import re

_VERSION = re.compile(r"-v\d+$")
_GAME = re.compile(r"^ALE/|(NoFrameskip|Deterministic)-v\d+$")
_PARTS = re.compile(r"(?:ALE/)?(.+?)(?:NoFrameskip|Deterministic)?-(v\d+)")


def is_game(env: str) -> bool:
    """Whether the id says that it is an Atari game: ALE/Pong-v5, PongNoFrameskip-v4, with or
    without a module before it."""
    module, _, name = env.rpartition(":")
    return module == "ale_py" or _GAME.search(name) is not None


def unversioned(env: str) -> str:
    """Hopper-v4 -> Hopper."""
    return _VERSION.sub("", env)


def task_and_version(env: str) -> tuple[str, str]:
    """Hopper-v4 -> (Hopper, v4); ALE/Pong-v5 -> (Pong, v5), PongNoFrameskip-v4 -> (Pong, v4). A
    module before the id is left out; an id without a version has an empty one."""
    name = env.rpartition(":")[2]
    match = _PARTS.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")
