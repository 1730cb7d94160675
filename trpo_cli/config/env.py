"""The settings of the group `env`: which environment, and how an Atari game is preprocessed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trpo_cli.settings import setting


@dataclass
class AtariConfig:
    """Preprocessing of Atari games; other environments have none of it."""

    frame_skip: int | None = setting(
        None, "Atari: frames per step; null: the id's own, 4 for NoFrameskip", low=1
    )
    max_pool: bool = setting(True, "Atari: see the maximum of the last two frames of a step")
    frame_height: int | None = setting(None, "Atari: pixels; null: 84", low=8, high=512)
    frame_width: int | None = setting(None, "Atari: pixels; null: 84", low=8, high=512)
    frame_stack: int = setting(4, "Atari: newest frames in an observation", low=1, high=64)
    noop_max: int = setting(30, "Atari: most frames of doing nothing before an episode", low=0)
    fire_reset: bool = setting(
        True, "Atari: press FIRE, where a game has it, at the start and after each lost life"
    )
    life_loss_terminal: bool = setting(
        True, "Atari: for learning only, a lost life ends the future; the episode goes on"
    )
    clip_rewards: bool = setting(
        True, "Atari: learn from the sign of the reward; reported returns are the game's own"
    )
    sticky_actions: float | None = setting(
        None,
        "Atari: probability that a frame repeats the action before; null: the id's own (0.25 for "
        "ALE/*-v5, 0 for NoFrameskip-v4)",
        low=0,
        below=1,
    )
    full_action_space: bool | None = setting(
        None, "Atari: all 18 actions instead of those a game uses; null: the id's own"
    )


@dataclass
class EnvConfig:
    id: str = setting("Hopper-v4", "Gymnasium id; module:Id-v0 imports the module first")
    kwargs: dict[str, Any] = setting({}, "keyword arguments for the environment's constructor")
    max_episode_steps: int | None = setting(
        None, "time limit in steps; null keeps the registered one", low=1
    )
    atari: AtariConfig = field(default_factory=AtariConfig)
    wrappers: list[Any] = setting(
        [],
        "Gymnasium wrappers, innermost first: a name of gymnasium.wrappers or module:Name; with "
        "arguments {FrameStackObservation:{stack_size:4}}",
    )
    backend: str = setting(
        "auto",
        "what simulates: auto, or warp: Gymnasium's MuJoCo tasks on MuJoCo Warp, for thousands of "
        "environments on a GPU; another physics, in single precision",
        choices=["auto", "warp"],
    )
    workers: int = setting(
        0,
        "processes that step environments on Gymnasium, at least one for each of sampler.groups; "
        "0: this process does. For environments whose steps take longer than a tenth of a "
        "millisecond; the results are the same",
        low=0,
    )
    vector: str = setting(
        "auto",
        "how environments on Gymnasium are stepped. serial: one after the other; workers: in "
        "env.workers processes, with 0 one for each core; auto: workers if env.workers is given, "
        "else serial. These give the same results. native: in the id's own vector environment, "
        "where it has one; its random stream, and so the results, are others",
        choices=["auto", "native", "workers", "serial"],
    )

    @property
    def stepped(self) -> str:
        """What `vector` comes to: native, workers or serial."""
        if self.vector != "auto":
            return self.vector
        return "workers" if self.workers else "serial"
