"""From an Atari id, its keyword arguments and ``env.atari`` to the settings of the emulator."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from gymnasium.envs.registration import EnvSpec

from trpo_cli.config import AtariConfig, EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.atari.shared import GameSettings
from trpo_cli.simulators.resolve import ATARI_CLASS

FRAME_SIZE = (84, 84)
_OWN = {"mode", "difficulty", "max_num_frames_per_episode"}
_SETTINGS = {
    "frameskip": "env.atari.frame_skip",
    "repeat_action_probability": "env.atari.sticky_actions",
    "full_action_space": "env.atari.full_action_space",
}


def is_atari(spec: EnvSpec) -> bool:
    """Whether the id is exactly ale-py's environment, with whatever arguments."""
    return spec.entry_point == ATARI_CLASS and not spec.additional_wrappers


def runs_on_emulator(env: EnvConfig, spec: EnvSpec) -> bool:
    """Whether the emulator backend has all that is asked for.

    It has not for other observations (obs_type), continuous actions, rendering and wrappers:
    those go through Gymnasium. Raises `UserError` for arguments that are settings here, and for
    settings of ``env.atari`` that would not be read.
    """
    known = _OWN | set(_SETTINGS) | {"game"}
    emulator = is_atari(spec) and not env.wrappers and known >= {*spec.kwargs, *env.kwargs}
    if not emulator:
        key, value = next(iter(_touched(env.atari)), ("", None))
        if key and is_atari(spec):
            others = ", ".join(f"env.kwargs.{name}" for name in sorted({*env.kwargs} - known))
            others = others or ("env.wrappers" if env.wrappers else "")
            raise UserError(
                f"env.atari.{key}={value} cannot be combined with {others or 'this id'}: the "
                "environment then runs as ale-py has it. Leave one of them out."
            )
        if key:
            raise UserError(
                f"env.atari.{key}={value} is a setting of Atari games, and env={env.id} is none; "
                "leave it out."
            )
        return False
    for name, setting in _SETTINGS.items():
        if name in env.kwargs:
            raise UserError(
                f"env.kwargs.{name}={env.kwargs[name]} is a setting of its own here; set {setting}."
            )
    if "game" in env.kwargs:
        raise UserError(f"env.kwargs.game={env.kwargs['game']} is chosen by the id; set env.id.")
    return True


def _touched(atari: AtariConfig) -> list[tuple[str, Any]]:
    default = AtariConfig()
    named = [(field.name, getattr(atari, field.name)) for field in dataclasses.fields(atari)]
    return [(key, value) for key, value in named if value != getattr(default, key)]


def frame_size(atari: AtariConfig, default: tuple[int, int] = FRAME_SIZE) -> tuple[int, int]:
    """(height, width) of a frame, `default` where nothing is said."""
    height, width = atari.frame_height, atari.frame_width
    return height or default[0], width or default[1]


def game_settings(
    env: EnvConfig, spec: EnvSpec, default_size: tuple[int, int] = FRAME_SIZE
) -> GameSettings:
    """Everything decided; for environments that run on the emulator. Does not look at the game."""
    atari, own = env.atari, {**_DEFAULTS, **spec.kwargs}
    for name in sorted(_OWN & set(env.kwargs)):
        value = env.kwargs[name]
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise UserError(f"env.kwargs.{name}={value} must be a whole number.")
        if value is not None and value < (name == "max_num_frames_per_episode"):
            raise UserError(f"env.kwargs.{name}={value} is too small.")
        own[name] = value
    height, width = frame_size(atari, default_size)
    return GameSettings(
        rom=own["game"],
        path=_path(own["game"]),
        mode=own["mode"],
        difficulty=own["difficulty"],
        skip=_skip(atari, own["frameskip"]),
        max_pool=atari.max_pool,
        height=height,
        width=width,
        stack=atari.frame_stack,
        noop_max=atari.noop_max,
        fire_reset=atari.fire_reset,
        life_loss_terminal=atari.life_loss_terminal,
        sticky=_either(atari.sticky_actions, own["repeat_action_probability"]),
        full_actions=_either(atari.full_action_space, own["full_action_space"]),
        max_frames=own["max_num_frames_per_episode"] or 0,
        max_steps=env.max_episode_steps or spec.max_episode_steps,
    )


def _path(rom: str) -> str:
    from ale_py import roms

    path = roms.get_rom_path(rom)
    if path is None:
        raise UserError(f"ale-py has no game {rom}.")
    return str(path)


# Of ale-py's constructor, for what a registration leaves out.
_DEFAULTS: dict[str, Any] = {
    "mode": None,
    "difficulty": None,
    "frameskip": 4,
    "repeat_action_probability": 0.25,
    "full_action_space": False,
    "max_num_frames_per_episode": None,
}


def _either(said: Any, own: Any) -> Any:
    return own if said is None else said


def _skip(atari: AtariConfig, own: int | tuple[int, int]) -> tuple[int, int]:
    """The id's own: a number of frames, 1 for none, or a range whose end is not in it."""
    if atari.frame_skip is not None:
        return atari.frame_skip, atari.frame_skip
    if isinstance(own, int):
        frames = own if own > 1 else 4
        return frames, frames
    return own[0], own[1] - 1


def action_count(env: EnvConfig, settings: GameSettings) -> int:
    """How many actions the game has; raises `UserError` for a mode or difficulty it has not."""
    game = _look_at(settings.path)
    for name, value in (("mode", settings.mode), ("difficulty", settings.difficulty)):
        known = game[name]
        if value is not None and value not in known:
            raise UserError(
                f"env.kwargs.{name}={value}: env={env.id} has no such {name}; it has "
                f"{', '.join(map(str, known))}."
            )
    return len(game["all" if settings.full_actions else "minimal"])


@cache
def _look_at(path: str) -> dict[str, list[Any]]:
    """What a game offers. Loading it takes 0.1 s, hence once for all simulators of a run."""
    import ale_py

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.loadROM(path)
    return {
        "mode": ale.getAvailableModes(),
        "difficulty": ale.getAvailableDifficulties(),
        "minimal": ale.getMinimalActionSet(),
        "all": ale.getLegalActionSet(),
    }
