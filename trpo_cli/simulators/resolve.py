"""From an environment id to Gymnasium's registration, with errors a person can act on.

Nothing heavy is imported: an unknown id is reported without loading MuJoCo or torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from trpo_cli.components import imported
from trpo_cli.config import EnvConfig
from trpo_cli.env_ids import is_game, unversioned
from trpo_cli.errors import UserError
from trpo_cli.settings import suggestion
from trpo_cli.simulators.lqr import environment as linear

ATARI_CLASS = "ale_py.env:AtariEnv"
_FAMILY = re.compile(r"^gymnasium\.envs\.mujoco\.(\w+)_(v[45]):(\w+)$")
_RESERVED = {
    "id": "set env.id",
    "max_episode_steps": "set env.max_episode_steps",
    "disable_env_checker": "leave it out",
}


def check_env(env: EnvConfig) -> EnvSpec:
    """The registration of `env.id`.

    Raises `UserError` for an unknown id (with the closest one), a module that is missing or does
    not register it, a missing package, and arguments that are not the constructor's.
    """
    for key, instead in _RESERVED.items():
        if key in env.kwargs:
            raise UserError(
                f"env.kwargs.{key}={env.kwargs[key]} is not an argument of the environment's "
                f"constructor; {instead}."
            )
    module, _, name = env.id.rpartition(":")
    if module:
        imported(module, f"env={env.id}")
    if name not in gymnasium.registry and (is_game(name) or _old_atari(name)):
        _need_atari(env.id)
        imported("ale_py", f"env={env.id}")
    spec = gymnasium.registry.get(name)
    if spec is None:
        raise UserError(_unknown(env.id, module, name))
    if mujoco_class(spec):
        _check_mujoco(spec)
    if spec.entry_point == ATARI_CLASS:
        _need_atari(env.id)
    return spec


def mujoco_class(spec: EnvSpec) -> tuple[str, bool] | None:
    """('hopper:HopperEnv', is v5) when the id is exactly one of Gymnasium's own MuJoCo classes."""
    point: Any = spec.entry_point
    if not isinstance(point, str):
        point = f"{getattr(point, '__module__', '')}:{getattr(point, '__qualname__', '')}"
    match = _FAMILY.match(point)
    if match is None or spec.additional_wrappers:
        return None
    return f"{match[1]}:{match[3]}", match[2] == "v5"


def is_linear(spec: EnvSpec) -> bool:
    """Whether the id is exactly our linear-quadratic system."""
    return spec.entry_point == linear.ENTRY_POINT and not spec.additional_wrappers


def _old_atari(name: str) -> bool:
    """Whether ale-py registers an id without a mark of its own, such as Pong-v4.

    Importing it to find out would put its hundreds of ids into the suggestions for a typo.
    """
    game, _, version = name.rpartition("-")
    return version in ("v0", "v4") and game in games()


def games() -> list[str]:
    """The Atari games that are installed, by their names in ids."""
    package = importlib.util.find_spec("ale_py")
    places = (package.submodule_search_locations or []) if package else []
    roms = (rom.stem for place in places for rom in Path(place, "roms").glob("*.bin"))
    return sorted(rom.title().replace("_", "") for rom in roms)


def _need_atari(env_id: str) -> None:
    for module, package in (("ale_py", "ale-py"), ("cv2", "opencv-python-headless")):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"env={env_id} is an Atari game and needs {package}, which is not installed: "
                'pip install "trpo_cli[atari]".'
            )


def _unknown(env_id: str, module: str, name: str) -> str:
    known = [
        k
        for k, spec in gymnasium.registry.items()
        if not _retired(spec) and (not module or _package(spec) == module.split(".")[0])
    ]
    base = unversioned(name)
    if not module and (game := [g for g in games() if g.casefold() == base.casefold()]):
        return f"env={env_id} is not a known environment. Did you mean ALE/{game[0]}-v5?"
    versions = [k for k in known if unversioned(k).casefold() == base.casefold()]
    if versions:
        versions.sort(key=lambda k: gymnasium.registry[k].version or 0)
        same = [k for k in versions if k.casefold() == name.casefold()]
        text = f" Did you mean {(same or versions)[-1]}?"
        if name == base:
            text = " It has no version." + text
        elif len(versions) > 1 and not same:
            text += f" The versions are {', '.join(versions)}."
    else:
        text = suggestion(name, known)
        numbered = re.search(r"-v\d+$", name)
        close = re.search(r"mean (.*)-v\d+\?$", text)
        if numbered and close and close[1] + numbered[0] in known:
            text = f" Did you mean {close[1] + numbered[0]}?"
    if module:
        where = f" {module} was imported but registers no environment of that name."
    else:
        where = "" if text else " For one of your own, say module:Id-v0 so that it is registered."
    return f"env={env_id} is not a known environment.{where}{text}"


def _retired(spec: EnvSpec) -> bool:
    """Ids that Gymnasium keeps only to say that they have moved elsewhere."""
    return "mujoco_py_error" in getattr(spec.entry_point, "__name__", "")


NEEDS = {"box2d": "Box2D", "phys2d": "jax", "tabular": "jax"}
"""Gymnasium's folders of environments that need a module, and that module."""


def can_be_built(spec: EnvSpec) -> bool:
    """Whether an id can be trained on here, as far as its registration tells."""
    folder = re.match(r"gymnasium\.envs\.(\w+)", str(spec.entry_point))
    if folder and (module := NEEDS.get(folder[1])):
        return importlib.util.find_spec(module) is not None
    # Their observations are single numbers (Discrete), but for Blackjack's.
    numbered = folder is not None and folder[1] == "toy_text" and "Blackjack" not in spec.id
    if spec.id.startswith("GymV"):
        return False  # shells around environments of Gymnasium's predecessors
    return not (_retired(spec) or numbered or "pusher_v4" in str(spec.entry_point))


def _package(spec: EnvSpec) -> str:
    """The top-level package of an environment's class."""
    point: Any = spec.entry_point
    path = point if isinstance(point, str) else getattr(point, "__module__", "")
    return re.split(r"[.:]", path)[0]


def _check_mujoco(spec: EnvSpec) -> None:
    if "pusher_v4" in str(spec.entry_point):
        raise UserError(
            f"env={spec.id} does not run: Gymnasium supports it on MuJoCo before 3.0 only. "
            "Use Pusher-v5."
        )
    for module in ("mujoco", "imageio"):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"env={spec.id} needs {module}, which is not installed: "
                'pip install "gymnasium[mujoco]".'
            )
