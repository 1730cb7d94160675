"""stable-baselines3's PPO and sb3-contrib's TRPO, in the arrangements among which is their best."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmark.ceilings import timed
from benchmark.worker import Work
from trpo_cli.components import defaults
from trpo_cli.env_ids import is_game


def arrangements(env: str, cores: int) -> tuple[Callable[..., Work], list[dict[str, int]]]:
    """What runs them on this environment, and with which arguments to try it."""
    threads = sorted({1, cores})
    if is_game(env):
        return on_atari, [{"processes": n, "torch_threads": t} for n in (1, 8) for t in threads]
    return on_mujoco, [{"num_envs": n, "torch_threads": t} for n in (1, 8, 16) for t in threads]


def rules(env: str) -> list[str]:
    """Those of our rules that have a counterpart there."""
    return ["ppo"] if is_game(env) else ["trpo", "ppo"]


def on_mujoco(env: str, algo: str, num_envs: int, torch_threads: int) -> Work:
    """With their defaults, 2,048 steps per update from all environments together. PPO makes as many
    minibatch steps as ours: its default of 64 samples would be four times that work."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    rule: Any = partial(stable_baselines3.PPO, batch_size=defaults("algo", "ppo")["minibatch_size"])
    if algo == "trpo":
        import sb3_contrib

        rule = sb3_contrib.TRPO
    model = rule("MlpPolicy", make_vec_env(env, num_envs), n_steps=2048 // num_envs, device="cpu")
    return _iterations(model, torch_threads)


def on_atari(env: str, algo: str, processes: int, torch_threads: int) -> Work:
    """PPO on 8 games, 128 steps of each, 4 epochs of 256, as the model zoo runs it."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    assert algo == "ppo", algo
    kind: Any = SubprocVecEnv if processes > 1 else DummyVecEnv
    games = make_atari_env(partial(_game, env), 8, seed=0, vec_env_cls=kind)
    model = stable_baselines3.PPO(
        "CnnPolicy",
        VecFrameStack(games, 4),
        n_steps=128,
        n_epochs=4,
        batch_size=256,
        learning_rate=2.5e-4,
        clip_range=0.1,
        ent_coef=0.01,
        device="cpu",
    )
    return _iterations(model, torch_threads)


def _game(env: str) -> Any:
    import ale_py  # noqa: F401  (registers the games, in this process)
    import gymnasium

    return gymnasium.make(env)


def _iterations(model: Any, torch_threads: int) -> Work:
    """One piece of work is one iteration: rollouts and update."""
    import torch
    from stable_baselines3.common.logger import Logger

    torch.set_num_threads(torch_threads)
    model.set_logger(Logger(None, []))  # else every call of `learn` makes a folder

    def work() -> int:
        before = model.num_timesteps
        model.learn(1, reset_num_timesteps=False)  # one step more is one iteration more
        return int(model.num_timesteps - before)

    return timed(work)
