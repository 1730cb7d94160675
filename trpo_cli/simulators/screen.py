"""Environments that are drawn: one at a time, driven by a seed and the actions of an episode.

The simulators that training and evaluation step draw nothing. Their episodes are played again here,
in Gymnasium's own environment or on the emulator, which give the same rewards to the bit.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from trpo_cli.config import EnvConfig
from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.simulators.resolve import check_env, mujoco_class
from trpo_cli.simulators.wrappers import short

if TYPE_CHECKING:
    import gymnasium

    from trpo_cli.simulators.atari.shared import GameSettings

Mode = Literal["rgb_array", "human"]
"""Images in memory; or a window, for people to watch."""
ATARI_HERTZ = 60.0
DEFAULT_HERTZ = 30.0
"""Steps a second of an environment that does not say."""


class Screen(Protocol):
    """One environment that is drawn."""

    steps_per_second: float
    """At the speed that the environment has in life."""

    def reset(self, seed: int) -> None:
        """Start the episode of a seed, as a simulator's `reset` does."""
        ...

    def step(self, action: np.ndarray) -> float:
        """One step with an action (*act) as a simulator's `step` takes it; returns the reward."""
        ...

    def image(self) -> np.ndarray:
        """(height, width, 3) uint8: what there is to see now. Not for a window."""
        ...

    def close(self) -> None: ...


def make_screen(env: EnvConfig, mode: Mode = "rgb_array") -> Screen:
    """The environment, drawn. Raises `UserError` with the reason when it cannot be."""
    if mode == "human":
        _need_display()
    elif not _has_display():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # of pygame, which looks for one
    spec = check_env(env)
    from trpo_cli.simulators.atari.settings import game_settings, runs_on_emulator

    if runs_on_emulator(env, spec):
        return EmulatorScreen(game_settings(env, spec), mode)
    from trpo_cli.simulators.make import build_env

    with warnings.catch_warnings(action="ignore"):  # what it says of modes is said below
        made = build_env(env, spec, render_mode=mode)
    if mode not in made.metadata.get("render_modes", ()):
        made.close()
        raise UserError(f"env={env.id} cannot be drawn: it has no render mode {mode}.")
    if mode == "rgb_array" and "mujoco" in sys.modules:
        from trpo_cli.simulators.mujoco import drawing

        drawing.choose_library()
        if not {"camera_id", "camera_name"} & env.kwargs.keys():
            drawing.follow(made.unwrapped)
    native = not env.wrappers and mujoco_class(spec) is not None
    screen = GymnasiumScreen(made, native)
    try:
        screen.reset(0)
        if mode == "rgb_array":  # a window draws of its own accord
            screen.image()
    except FOREIGN as error:
        screen.close()
        words = short(error).rstrip(".") or type(error).__name__
        if "pygame is not installed" in words:
            words = 'it needs pygame, which is not installed: pip install "trpo_cli[video]"'
        raise UserError(f"env={env.id} cannot be drawn ({mode}): {words}.") from error
    return screen


def _has_display() -> bool:
    found = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(found) or not sys.platform.startswith("linux")


def _need_display() -> None:
    if not _has_display():
        raise UserError(
            "--render human opens a window, and there is no display here (neither DISPLAY nor "
            "WAYLAND_DISPLAY is set). --video 3 writes files instead, which need none."
        )


class GymnasiumScreen:
    """native: the actions are for our compiled MuJoCo tasks, which take them in any precision."""

    def __init__(self, env: gymnasium.Env[Any, Any], native: bool) -> None:
        from trpo_cli.simulators.gym import wrapper_state
        from trpo_cli.simulators.gym.simulator import counted_actions

        self._env, self._new = env, wrapper_state.save(env)
        self._convert = np.asarray if native else counted_actions(env.action_space)[1]
        self.steps_per_second = float(env.metadata.get("render_fps") or DEFAULT_HERTZ)

    def reset(self, seed: int) -> None:
        from trpo_cli.simulators.gym.replay import begin

        begin(self._env, seed, None, self._new)

    def step(self, action: np.ndarray) -> float:
        return float(self._env.step(self._convert(action))[1])

    def image(self) -> np.ndarray:
        drawn = np.asarray(self._env.render())
        if drawn.ndim != 3 or drawn.shape[2] != 3:
            raise ValueError(f"render() gave an array of shape {drawn.shape}, not an image")
        return drawn.astype(np.uint8, copy=False)

    def close(self) -> None:
        self._env.close()


class EmulatorScreen:
    """An Atari game, as our own simulator steps it."""

    def __init__(self, settings: GameSettings, mode: Mode) -> None:
        import ale_py

        from trpo_cli.simulators.atari.game import AtariGame

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        stack = np.zeros((settings.stack, settings.height, settings.width), dtype=np.uint8)
        self._game = AtariGame(settings, stack, window=mode == "human")
        self.steps_per_second = ATARI_HERTZ / (sum(settings.skip) / 2)

    def reset(self, seed: int) -> None:
        self._game.reset(seed)

    def step(self, action: np.ndarray) -> float:
        return self._game.step(int(action))[0]

    def image(self) -> np.ndarray:
        return self._game.screen()

    def close(self) -> None:
        pass
