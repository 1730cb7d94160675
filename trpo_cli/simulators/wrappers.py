"""``env.wrappers``: from what a person writes to Gymnasium wrappers around an environment."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
from gymnasium import spaces

from trpo_cli.components import imported
from trpo_cli.config import EnvConfig
from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.settings import suggestion
from trpo_cli.simulators.base import shows_images

Env = gymnasium.Env[Any, Any]

_RENDERS = "it draws for people to look at, which training does not do"
_ARRAYS = "environments exchange NumPy arrays with the policy here"
_REFUSED = {
    "HumanRendering": _RENDERS,
    "RecordVideo": _RENDERS,
    "RenderCollection": _RENDERS,
    "ArrayConversion": _ARRAYS,
    "JaxToNumpy": _ARRAYS,
    "JaxToTorch": _ARRAYS,
    "NumpyToTorch": _ARRAYS,
    "Autoreset": "ended episodes are begun anew without it",
    "TimeLimit": "set env.max_episode_steps",
    "vector": "it is a module of wrappers for vector environments",
}
_STATISTICS = {
    "NormalizeObservation": "policy.normalize_observations has one set for all of them",
    "NormalizeReward": "the returns that are reported are of its rewards",
}


class Wrapper(NamedTuple):
    name: str
    make: Callable[..., Any]
    arguments: dict[str, Any]


def find_wrappers(env: EnvConfig) -> list[Wrapper]:
    """The classes that ``env.wrappers`` names, innermost first; raises `UserError`."""
    return [Wrapper(name, _find(name), arguments) for name, arguments in map(_split, env.wrappers)]


def _split(entry: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, arguments),) = entry.items()
        if isinstance(name, str) and (arguments is None or isinstance(arguments, dict)):
            return name, {str(key): value for key, value in (arguments or {}).items()}
    raise UserError(
        f"env.wrappers={entry} is not a wrapper: write a name such as FlattenObservation or "
        "my_module:MyWrapper, or with arguments {FrameStackObservation: {stack_size: 4}}."
    )


def _find(name: str) -> Callable[..., Any]:
    from gymnasium import wrappers

    said = f"env.wrappers={name}"
    module, colon, attribute = name.rpartition(":")
    if name in _REFUSED:
        raise UserError(f"{said} cannot be used: {_REFUSED[name]}. Leave it out.")
    if not colon:
        known = [word for word in wrappers.__all__ if word not in _REFUSED]
        if name in known:
            found: Callable[..., Any] = getattr(wrappers, name)
            return found
        if name in wrappers.vector.__all__:
            raise UserError(f"{said} cannot be used: {_VECTOR}.")
        raise UserError(
            f"{said} is not one of gymnasium.wrappers.{suggestion(name, known)} A wrapper of your "
            "own is written module:Name."
        )
    members = vars(imported(module, said))
    if attribute not in members:
        raise UserError(
            f"{said}: the module {module} has no {attribute}."
            + suggestion(attribute, [key for key in members if not key.startswith("_")])
        )
    found = members[attribute]
    if isinstance(found, type) and issubclass(found, gymnasium.vector.VectorEnv):
        raise UserError(f"{said} cannot be used: {_VECTOR}.")
    if not callable(found) or (isinstance(found, type) and not issubclass(found, gymnasium.Env)):
        raise UserError(
            f"{said} is {short(found)}, not a wrapper: it has to be a class that derives from "
            "gymnasium.Wrapper, or a function of an environment that returns one."
        )
    return found


_VECTOR = (
    "it wraps a vector environment, and here every environment is wrapped by itself; choose the "
    "wrapper of a single environment"
)


def wrapped(made: Env, env: EnvConfig) -> Env:
    """The environment in its wrappers, then flat if its observations are a Dict or a Tuple."""
    for name, make, arguments in find_wrappers(env):
        words = f"env.wrappers={name} cannot be put around env={env.id}"
        words += f" with {arguments}" if arguments else ""
        try:
            made = make(made, **arguments)
        except FOREIGN as error:
            raise UserError(f"{words}: {type(error).__name__}: {short(error)}.") from error
        if not isinstance(made, gymnasium.Env):
            raise UserError(f"{words}: it returned {short(made)}, not an environment.")
    if isinstance(made.observation_space, spaces.Dict | spaces.Tuple):
        _check_parts(env, made.observation_space, "observations")
        made = gymnasium.wrappers.FlattenObservation(made)
    return made


def _check_parts(env: EnvConfig, space: spaces.Space[Any], name: str) -> None:
    """Raise `UserError` for a part of a Dict or a Tuple that does not become numbers."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces
        items = parts.items() if isinstance(parts, dict) else enumerate(parts)
        for key, part in items:
            _check_parts(env, part, f"{name}[{key!r}]")
        return
    start = f"env={env.id} cannot be used: {name} are"
    hint = "env.wrappers=[{FilterObservation: {filter_keys: [...]}}] keeps the other parts only."
    if isinstance(space, spaces.Box) and shows_images(space):
        raise UserError(
            f"{start} images beside other parts, and the networks here look at images or at "
            f"numbers, not at both. {hint}"
        )
    numbers = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    if not isinstance(space, numbers) or space.dtype is None or space.dtype.kind not in "fiub":
        raise UserError(f"{start} {short(space)}, which float32 numbers cannot stand for. {hint}")


def remarks(made: Env, env: EnvConfig) -> list[str]:
    """What a person should know of how the environment is wrapped, a sentence each."""
    found = []
    if env.wrappers:
        found.append("wrappers, innermost first: " + ", ".join(_split(e)[0] for e in env.wrappers))
    for entry in env.wrappers:
        name = _split(entry)[0]
        if name in _STATISTICS:
            found.append(
                f"{name} keeps statistics in each environment, and evaluation begins with new "
                f"ones: {_STATISTICS[name]}"
            )
    inner = made.env if isinstance(made, gymnasium.wrappers.FlattenObservation) else made
    if isinstance(inner.observation_space, spaces.Dict | spaces.Tuple):
        kind = type(inner.observation_space).__name__
        size = spaces.flatdim(inner.observation_space)
        parts = short(inner.observation_space)
        found.append(f"observations are a {kind}, flattened to {size} numbers: {parts}")
    return found


def short(thing: object) -> str:
    """On one line, and not longer than a paragraph bears."""
    return textwrap.shorten(str(thing), 400)
