from __future__ import annotations

import gymnasium
import pytest

from trpo_cli.env_ids import is_game, task_and_version, unversioned


@pytest.mark.parametrize(
    ("env", "task", "version"),
    [
        ("Hopper-v4", "Hopper", "v4"),
        ("Some-Task-v12", "Some-Task", "v12"),
        ("ALE/Pong-v5", "Pong", "v5"),
        ("ale_py:ALE/Pong-v5", "Pong", "v5"),
        ("PongNoFrameskip-v4", "Pong", "v4"),
        ("PongDeterministic-v0", "Pong", "v0"),
        ("pkg:Mine-v0", "Mine", "v0"),
        ("odd", "odd", ""),
    ],
)
def test_names_and_versions(env: str, task: str, version: str) -> None:
    assert task_and_version(env) == (task, version)


@pytest.mark.parametrize(
    ("env", "bare"),
    [
        ("Hopper-v4", "Hopper"),
        ("ALE/Pong-v5", "ALE/Pong"),
        ("PongNoFrameskip-v4", "PongNoFrameskip"),
        ("pkg:Mine-v10", "pkg:Mine"),
        ("v4-v5", "v4"),
        ("odd", "odd"),
    ],
)
def test_versions_are_left_out(env: str, bare: str) -> None:
    assert unversioned(env) == bare


@pytest.mark.parametrize(
    ("env", "played"),
    [
        ("ALE/Pong-v5", True),
        ("ale_py:ALE/Pong-v5", True),
        ("ale_py:Pong-v0", True),
        ("PongNoFrameskip-v4", True),
        ("mine:PongNoFrameskip-v4", True),
        ("PongDeterministic-v4", True),
        ("Hopper-v4", False),
        ("mine:Alert-v0", False),
        ("PongNoFrameskipToo-v4", False),
    ],
)
def test_games(env: str, played: bool) -> None:
    assert is_game(env) is played


def test_gymnasiums_own_environments_are_no_games() -> None:
    ours = [name for name, spec in gymnasium.registry.items() if "ale_py" not in str(spec)]
    assert "CartPole-v1" in ours
    assert not [name for name in ours if is_game(name)]
