"""Choose the backend of an environment and build it."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from trpo_cli.config import EnvConfig
from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.simulators.atari.settings import action_count, game_settings, runs_on_emulator
from trpo_cli.simulators.base import Simulator
from trpo_cli.simulators.resolve import check_env, is_linear, mujoco_class
from trpo_cli.simulators.wrappers import remarks, short, wrapped

# Why environments of a kind do not come back in a way: tried out once, however many simulators of
# the kind a run has.
_TRIED: dict[tuple[str, str], str] = {}


def is_emulated(env: EnvConfig) -> bool:
    """Whether the environment is an Atari game that runs on the emulator backend."""
    return runs_on_emulator(env, check_env(env))


def make_simulator(
    env: EnvConfig,
    num_envs: int,
    threads: int,
    first: int = 0,
    device: str | None = None,
    workers: int | None = None,
    native: bool = False,
) -> Simulator:
    """`num_envs` environments of one kind, stepped on `threads` threads where that helps.

    Gymnasium's own MuJoCo classes run on MuJoCo's batched stepping, Atari games on the emulator in
    worker processes, linear systems on matrix products, everything else through Gymnasium: in this
    process, or in worker processes. With ``env.backend=warp`` it is a `WarpSimulator` on the
    device, or an error. Raises `UserError` when the environment cannot be used.
    first: the number by which errors name the first of them. device: of a `WarpSimulator`; None:
    a GPU, where there is one. workers: processes of these environments; None: env.workers.
    native: with ``env.vector=native``, the id's vector environment, in which no environment has a
    seed of its own; otherwise what needs that gets ordinary ones.
    """
    spec = check_env(env)
    if env.backend == "warp":
        _check_warp(env, spec)
    emulated = runs_on_emulator(env, spec)
    family = None if env.wrappers else mujoco_class(spec)
    linear = not env.wrappers and is_linear(spec)
    if emulated or linear or family is not None:
        _check_stepped_by_us(env)
    if emulated:
        from trpo_cli.simulators.atari.simulator import AtariSimulator

        settings = game_settings(env, spec)
        actions = action_count(env, settings)
        return AtariSimulator(settings, env.id, actions, num_envs, threads, first)
    if family is not None:
        _quiet_mujoco()
    template = build_env(env, spec)
    _check_spaces(env, template)
    limit = env.max_episode_steps or spec.max_episode_steps
    if family is not None:
        _try_out(env, template)
        return _on_mujoco(env, template, *family, num_envs, threads, limit, device)
    if linear:
        from trpo_cli.simulators.lqr.simulator import LinearSimulator

        base: Any = template.unwrapped
        return LinearSimulator(base, num_envs, limit)
    if native and env.vector == "native":
        from trpo_cli.simulators.vector.make import make_native

        with contextlib.closing(template):
            return make_native(env, spec, template, num_envs)
    workers = env.workers if workers is None else workers
    return _on_gymnasium(env, spec, template, num_envs, limit, first, workers)


def _on_mujoco(
    env: EnvConfig,
    template: gymnasium.Env[Any, Any],
    name: str,
    v5: bool,
    num_envs: int,
    threads: int,
    limit: int | None,
    device: str | None,
) -> Simulator:
    """Gymnasium's class of this name on MuJoCo's batched stepping, or on MuJoCo Warp."""
    from trpo_cli.simulators.mujoco.simulator import MujocoSimulator
    from trpo_cli.simulators.mujoco.tasks import FAMILY

    base: Any = template.unwrapped
    if env.backend != "warp":
        return MujocoSimulator(base, FAMILY[name], v5, num_envs, threads, limit)
    import torch

    from trpo_cli.simulators.warp.simulator import WarpSimulator

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return WarpSimulator(base, FAMILY[name], v5, num_envs, limit, where)


def _on_gymnasium(
    env: EnvConfig,
    spec: EnvSpec,
    template: gymnasium.Env[Any, Any],
    num_envs: int,
    limit: int | None,
    first: int,
    workers: int,
) -> Simulator:
    """Any environment by its own step: in this process, or in worker processes."""

    def build() -> gymnasium.Env[Any, Any]:
        return build_env(env, spec)

    if "mujoco" in sys.modules:  # an environment of somebody else's on MuJoCo
        _quiet_mujoco()
    if env.wrappers:
        with contextlib.closing(build()) as tried:
            _try_out(env, tried)
    kind = f"{spec} {limit} {sorted(env.kwargs.items())} {env.wrappers}"

    def why_not(way: str) -> str:
        if (kind, way) not in _TRIED:
            from trpo_cli.simulators.gym.probe import why_not_exact

            _TRIED[kind, way] = why_not_exact(build, way)
        return _TRIED[kind, way]

    said = remarks(template, env)
    if workers:
        from trpo_cli.simulators.gym.parallel import ParallelSimulator

        return ParallelSimulator(
            env, spec, template, num_envs, workers, limit, why_not, first, said
        )
    from trpo_cli.simulators.gym.simulator import GymnasiumSimulator

    envs = [template, *(build() for _ in range(num_envs - 1))]
    return GymnasiumSimulator(envs, env.id, limit, why_not, first, said)


def _quiet_mujoco() -> None:
    from trpo_cli.simulators.mujoco.quiet import keep_quiet

    keep_quiet()


def _check_stepped_by_us(env: EnvConfig) -> None:
    """Raises `UserError` for settings of environments that run through Gymnasium."""
    for name, value, default in (("workers", env.workers, 0), ("vector", env.vector, "auto")):
        if value != default:
            raise UserError(
                f"env.{name}={value} is for environments that run through Gymnasium, and "
                f"env={env.id} has a backend of its own, which uses threads=N. Leave env.{name} "
                "out."
            )


def _check_warp(env: EnvConfig, spec: EnvSpec) -> None:
    """Raises `UserError` when MuJoCo Warp cannot run the environment at all."""
    if env.wrappers:
        raise UserError(
            f"env.backend=warp cannot be had with env.wrappers={env.wrappers}: wrappers are "
            "Python, and MuJoCo Warp's environments never leave the device. Leave one of the two "
            "out."
        )
    if mujoco_class(spec) is None:
        raise UserError(
            f"env.backend=warp runs Gymnasium's own MuJoCo tasks, such as HalfCheetah-v4, and "
            f"env={env.id} is none of them. env.backend=auto runs it."
        )
    for module in ("mujoco_warp", "warp"):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"env.backend=warp needs the package {module.replace('_', '-')}, which is not "
                'installed: pip install "trpo_cli[warp]".'
            )


def build_env(env: EnvConfig, spec: EnvSpec, **more: Any) -> gymnasium.Env[Any, Any]:
    """One environment in its wrappers. more: what its constructor gets besides `env.kwargs`.

    Raises `UserError` when it cannot be constructed.
    """
    try:
        made = gymnasium.make(
            spec,
            max_episode_steps=env.max_episode_steps,
            disable_env_checker=True,
            **{**env.kwargs, **more},
        )
    except FOREIGN as error:
        raise UserError(_failed(env, error)) from error
    return wrapped(made, env)


def _try_out(env: EnvConfig, made: gymnasium.Env[Any, Any]) -> None:
    """One step: arguments of a wrong type come out in its first step only."""
    if made.render_mode is not None:
        return  # it might open a window
    given = f"env.wrappers={env.wrappers}" if env.wrappers else f"env.kwargs={env.kwargs}"
    try:
        made.reset(seed=0)
        if env.wrappers:
            made.step(made.action_space.sample())
        else:
            made.step(np.zeros(made.action_space.shape, dtype=np.float32))
    except FOREIGN as error:
        raise UserError(
            f"env={env.id} cannot be stepped with {given}: {short(error) or type(error).__name__}."
        ) from error


def _failed(env: EnvConfig, error: BaseException) -> str:
    """Why the constructor raised, in the environment's own words."""
    words = short(error) or type(error).__name__
    words = re.sub(r" was raised from the environment creator for .*", "", words)
    if isinstance(error, ModuleNotFoundError):
        words = f"it needs the module {error.name}, which is not installed"
    arguments = f" with env.kwargs={env.kwargs}" if env.kwargs else ""
    return f"env={env.id} could not be constructed{arguments}: {words}"


def _check_spaces(env: EnvConfig, made: gymnasium.Env[Any, Any]) -> None:
    observations, actions = made.observation_space, made.action_space
    if not isinstance(observations, spaces.Box):
        finite = spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
        wrapper = "FlattenObservation" if isinstance(observations, finite) else "my_module:Wrapper"
        raise UserError(
            f"env={env.id} cannot be used: its observations are {short(observations)}, and a Box "
            "(an array of numbers), or a Dict or Tuple of numbers, is supported. A wrapper that "
            f"makes one of them helps: env.wrappers=[{wrapper}]."
        )
    for what, space in (("observations", observations), ("actions", actions)):
        if 0 in (space.shape or ()):
            raise UserError(
                f"env={env.id} cannot be used: its {what} are {short(space)}, which holds no "
                "number at all."
            )
    supported = (
        (isinstance(actions, spaces.Box) and np.issubdtype(actions.dtype, np.floating))
        or isinstance(actions, spaces.Discrete)
        or (isinstance(actions, spaces.MultiDiscrete) and actions.nvec.ndim == 1)
        or (isinstance(actions, spaces.MultiBinary) and len(actions.shape) == 1)
    )
    if not supported:
        raise UserError(
            f"env={env.id} cannot be used: its actions are {short(actions)}; supported are Box of "
            "floats, Discrete, and one-dimensional MultiDiscrete and MultiBinary."
        )
