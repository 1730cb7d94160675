"""Gymnasium ids with a vector environment of their own: which they are, and what it can do."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv

from trpo_cli.config import EnvConfig
from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.simulators.resolve import ATARI_CLASS, can_be_built, is_linear, mujoco_class
from trpo_cli.simulators.same_future import same_future
from trpo_cli.simulators.vector.simulator import VectorSimulator
from trpo_cli.simulators.vector.state import axes_of
from trpo_cli.simulators.wrappers import short

ELSE = "env.vector=auto steps ordinary environments."
_SIZES = 3, 5
"""Of the vector environments that are looked at."""
_FUTURE = 30
"""Steps after a moment that was put back."""
_KNOWN: dict[str, tuple[dict[str, int], str]] = {}
"""What was found out about a kind: tried once in a process."""


def has_native(spec: EnvSpec) -> bool:
    """Whether an id that runs through Gymnasium has a vector environment."""
    return (
        spec.vector_entry_point is not None
        and not spec.additional_wrappers
        and not (spec.entry_point == ATARI_CLASS or mujoco_class(spec) or is_linear(spec))
    )


def make_native(env: EnvConfig, spec: EnvSpec, template: Any, num_envs: int) -> VectorSimulator:
    """`num_envs` environments in the id's own vector environment.

    template: an environment of the id, for its spaces. Raises `UserError` when there is none, and
    for one that shows something else or whose environments cannot be begun anew one by one.
    """
    if not has_native(spec):
        known = [
            name for name, s in gymnasium.registry.items() if has_native(s) and can_be_built(s)
        ]
        raise UserError(
            f"env.vector=native: env={env.id} registers no vector environment. Those that do, of "
            f"the ids known here: {', '.join(known)}. {ELSE}"
        )
    limit = env.max_episode_steps or spec.max_episode_steps

    def build(number: int) -> VectorEnv[Any, Any, Any]:
        kwargs: dict[str, Any] = dict(env.kwargs)
        if env.max_episode_steps is not None:
            kwargs["max_episode_steps"] = env.max_episode_steps
        with warnings.catch_warnings():  # one without autoreset_mode is refused below, or works
            warnings.simplefilter("ignore")
            made: VectorEnv[Any, Any, Any] = gymnasium.make_vec(
                spec, number, vectorization_mode="vector_entry_point", **kwargs
            )
        return made

    said = f"env.vector=native: the vector environment of env={env.id}"
    kind = f"{spec} {limit} {sorted(env.kwargs.items())}"
    if kind not in _KNOWN:
        _KNOWN[kind] = _look_at(build, template, said)
    axes, why_not = _KNOWN[kind]
    return VectorSimulator(build, axes, num_envs, env.id, limit, why_not)


def _look_at(build: Any, template: Any, said: str) -> tuple[dict[str, int], str]:
    """Where it keeps the state of each environment, and why it cannot be restored, "" if it can.

    `same_future` shows whether that is the whole state: then what is written there begins an
    episode as well as the environment itself does. Raises `UserError`; said: how it begins.
    """
    try:
        with contextlib.ExitStack() as stack:
            looked_at = [build(size) for size in _SIZES]
            for made in looked_at:
                stack.callback(made.close)
                made.reset(seed=0)
            one = looked_at[0]
            for what, own, theirs in (
                ("observations", one.single_observation_space, template.observation_space),
                ("actions", one.single_action_space, template.action_space),
            ):
                if own != theirs:
                    raise UserError(
                        f"{said} has other {what} than the environment itself, {short(own)} "
                        f"instead of {short(theirs)}. {ELSE}"
                    )
            axes = axes_of(*looked_at)
            ours, other = (VectorSimulator(build, axes, _SIZES[0], "", None) for _ in range(2))
            stack.callback(ours.close)
            stack.callback(other.close)
            why_not = same_future(ours, other, portable=True, future=_FUTURE)
            mode = one.metadata.get("autoreset_mode")
    except FOREIGN as error:
        if isinstance(error, UserError):
            raise
        words = short(error) or type(error).__name__
        raise UserError(f"{said} could not be used: {words}. {ELSE}") from error
    if why_not and mode != AutoresetMode.SAME_STEP:
        raise UserError(
            f"{said} resets what ended a step late, and where it keeps its state could not be made "
            f"out ({why_not}). {ELSE}"
        )
    return axes, why_not
