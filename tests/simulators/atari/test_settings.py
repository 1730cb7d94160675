"""Which Atari ids and arguments run on the emulator, what they mean, and what is refused."""

from __future__ import annotations

import importlib.util
from typing import Any

import ale_py
import gymnasium
import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import AtariConfig, EnvConfig, config_from_yaml, config_to_yaml
from trpo_cli.errors import UserError
from trpo_cli.simulators.atari.settings import frame_size, game_settings, runs_on_emulator
from trpo_cli.simulators.atari.shared import GameSettings
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.resolve import check_env

gymnasium.register_envs(ale_py)


def settings(env_id: str, kwargs: dict[str, Any] | None = None, **atari: Any) -> GameSettings:
    env = EnvConfig(env_id, kwargs or {}, atari=AtariConfig(**atari))
    spec = check_env(env)
    assert runs_on_emulator(env, spec)
    return game_settings(env, spec)


def refusal(env_id: str, kwargs: dict[str, Any] | None = None, **atari: Any) -> str:
    with pytest.raises(UserError) as error:
        make_simulator(EnvConfig(env_id, kwargs or {}, atari=AtariConfig(**atari)), 1, 1)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("env_id", "skip", "sticky"),
    [
        ("ALE/Pong-v5", (4, 4), 0.25),
        ("PongNoFrameskip-v4", (4, 4), 0.0),
        ("PongNoFrameskip-v0", (4, 4), 0.25),
        ("Pong-v4", (2, 4), 0.0),
        ("Pong-v0", (2, 4), 0.25),
        ("ale_py:ALE/Pong-v5", (4, 4), 0.25),
    ],
)
def test_every_kind_of_id_has_its_own_meaning(
    env_id: str, skip: tuple[int, int], sticky: float
) -> None:
    found = settings(env_id)
    assert (found.rom, found.skip, found.sticky) == ("pong", skip, sticky)
    assert (found.height, found.width, found.stack, found.max_frames) == (84, 84, 4, 108_000)
    assert not found.full_actions


def test_every_id_of_ale_py_runs_on_the_emulator() -> None:
    ids = [
        name
        for name, spec in gymnasium.registry.items()
        if str(spec.entry_point).startswith("ale_py")
    ]
    assert len(ids) > 300
    for env_id in ids:
        settings(env_id)


def test_settings_win_over_the_id() -> None:
    found = settings(
        "Pong-v0",
        {"mode": 1, "difficulty": 1, "max_num_frames_per_episode": 10},
        frame_skip=2,
        sticky_actions=0.0,
        full_action_space=True,
    )
    assert (found.skip, found.sticky, found.full_actions) == ((2, 2), 0.0, True)
    assert (found.mode, found.difficulty, found.max_frames, found.step_limit) == (1, 1, 10, 5)
    assert settings("Pong-v4", {"max_num_frames_per_episode": None}).step_limit is None


def test_frame_size() -> None:
    assert frame_size(AtariConfig()) == (84, 84)
    assert frame_size(AtariConfig(), (52, 40)) == (52, 40)
    assert frame_size(AtariConfig(frame_width=60), (52, 40)) == (52, 60)


@pytest.mark.parametrize(
    ("kwargs", "atari", "expected"),
    [
        ({"frameskip": 1}, {}, "set env.atari.frame_skip."),
        ({"repeat_action_probability": 0.0}, {}, "set env.atari.sticky_actions."),
        ({"full_action_space": True}, {}, "set env.atari.full_action_space."),
        ({"game": "breakout"}, {}, "set env.id."),
        ({"mode": 77}, {}, "env=ALE/Pong-v5 has no such mode; it has 0, 1."),
        ({"difficulty": 9}, {}, "no such difficulty; it has 0, 1, 2, 3."),
        ({"mode": "hard"}, {}, "env.kwargs.mode=hard must be a whole number."),
        ({"max_num_frames_per_episode": 0}, {}, "is too small."),
        ({"obs_type": "ram"}, {"frame_skip": 2}, "cannot be combined with env.kwargs.obs_type"),
        ({"modus": 1}, {}, "unexpected keyword argument 'modus'"),
    ],
)
def test_arguments_that_are_refused(
    kwargs: dict[str, Any], atari: dict[str, Any], expected: str
) -> None:
    assert expected in refusal("ALE/Pong-v5", kwargs, **atari)


def test_settings_without_a_game_are_refused() -> None:
    text = refusal("CartPole-v1", frame_stack=2)
    assert text.startswith("env.atari.frame_stack=2 is a setting of Atari games")
    assert "env.atari.clip_rewards=False" in refusal("Hopper-v4", clip_rewards=False)


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [({"obs_type": "ram"}, (128,)), ({"obs_type": "grayscale", "frameskip": 3}, (210, 160))],
)
def test_other_observations_go_through_gymnasium(
    kwargs: dict[str, Any], shape: tuple[int, ...]
) -> None:
    sim = make_simulator(EnvConfig("ALE/Pong-v5", kwargs), 1, 1)
    assert (sim.backend, sim.observation_space.shape) == ("gymnasium", shape)
    sim.close()


def test_continuous_actions_go_through_gymnasium() -> None:
    sim = make_simulator(EnvConfig("ALE/Pong-v5", {"continuous": True}), 1, 1)
    assert (sim.backend, sim.action_space.shape) == ("gymnasium", (3,))
    sim.close()


@pytest.mark.parametrize(
    ("module", "package"), [("ale_py", "ale-py"), ("cv2", "opencv-python-headless")]
)
@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "PongNoFrameskip-v4"])
def test_without_the_packages(
    module: str, package: str, env_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    text = refusal(env_id)
    assert f"needs {package}, which is not installed" in text
    assert 'pip install "trpo_cli[atari]"' in text


def test_from_the_command_line_to_yaml_and_back() -> None:
    config = config_of("env=ALE/Pong-v5", "env.atari.frame_skip=3", "+env.kwargs.mode=1")
    assert config.env.id == "ALE/Pong-v5"
    assert config.env.atari == AtariConfig(frame_skip=3)
    assert config_from_yaml(config_to_yaml(config)) == config
    with pytest.raises(UserError, match=r"env\.atari\.sticky_actions=1.*must be >= 0 and < 1"):
        config_of("env=ALE/Pong-v5", "env.atari.sticky_actions=1.0")
    with pytest.raises(UserError, match=r"Did you mean env\.atari\.frame_skip"):
        config_of("env=ALE/Pong-v5", "env.atari.frameskip=3")
