"""Ids and arguments that cannot work: one readable paragraph each, and cheaply."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tests.support import odd_envs
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.resolve import check_env

SEQUENCE = spaces.Sequence(odd_envs.BOX)
DICT = spaces.Dict({"position": odd_envs.BOX})


def refusal(env_id: str, **kwargs: Any) -> str:
    with pytest.raises(UserError) as error:
        make_simulator(EnvConfig(id=env_id, kwargs=kwargs), 1, 1)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("Hoper-v4", "Did you mean Hopper-v4?"),
        ("hopper-v4", "Did you mean Hopper-v4?"),
        ("Hopper-v9", "Did you mean Hopper-v5? The versions are Hopper-v4, Hopper-v5."),
        ("Hopper", "It has no version. Did you mean Hopper-v5?"),
        ("HalfCheeta-v3", "Did you mean HalfCheetah-v5?"),
        ("CartPole-v7", "Did you mean CartPole-v1?"),
        ("Zzzqqq-v0", "For one of your own, say module:Id-v0"),
        ("json:Hopper-v4x", "json was imported but registers no environment of that name."),
        ("no_such_module:Some-v0", "there is no module no_such_module on Python's path"),
        ("json.no_such:Some-v0", "there is no module json.no_such on Python's path"),
        ("Pusher-v4", "Use Pusher-v5."),
        ("Hopper-v2", "moved to the gymnasium-robotics project"),
    ],
)
def test_ids(env_id: str, expected: str) -> None:
    text = refusal(env_id)
    assert expected in text
    assert text.startswith(f"env={env_id}")


def test_known_id() -> None:
    assert check_env(EnvConfig(id="Hopper-v4")).max_episode_steps == 1000


def test_module_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_for_test.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v3', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    (tmp_path / "broken_for_test.py").write_text("import not_there_for_test\n")
    (tmp_path / "wrong_for_test.py").write_text("1 / 0\n")
    sim = make_simulator(EnvConfig(id="mine_for_test:Mine-v3"), 2, 1)
    assert sim.reset(seed=[1, 2]).shape == (2, 4)
    assert "needs the module not_there_for_test" in refusal("broken_for_test:Some-v0")
    assert "ZeroDivisionError: division by zero" in refusal("wrong_for_test:Some-v0")


@pytest.mark.parametrize(
    ("env_id", "kwargs", "expected"),
    [
        ("Odd/Odd-v0", {"broken": True}, "{'broken': True}: the controller is not plugged in"),
        ("Hopper-v5", {"foo": 1}, "{'foo': 1}: MujocoEnv.__init__() got an unexpected keyword"),
        ("Hopper-v4", {"healthy_z_range": 3}, "cannot be stepped with env.kwargs="),
        ("Hopper-v4", {"max_episode_steps": 3}, "set env.max_episode_steps."),
        ("Hopper-v4", {"id": "x"}, "set env.id."),
        ("Odd/Odd-v0", {"observations": SEQUENCE}, "its observations are Sequence("),
        ("Taxi-v4", {}, "its observations are Discrete(500)"),
        ("Odd/Odd-v0", {"actions": DICT}, "its actions are Dict('position'"),
        (
            "Odd/Odd-v0",
            {"actions": spaces.Box(0, 3, (2,), np.int64)},
            "supported are Box of floats",
        ),
        ("Odd/Odd-v0", {"actions": spaces.MultiBinary((2, 2))}, "one-dimensional"),
        ("Odd/Odd-v0", {"actions": spaces.MultiDiscrete(np.ones((2, 2), int))}, "one-dimensional"),
    ],
)
def test_what_cannot_be_built_or_used(env_id: str, kwargs: dict[str, Any], expected: str) -> None:
    text = refusal(env_id, **kwargs)
    assert expected in text
    assert text.startswith("env")


def test_unknown_id_costs_no_heavy_import() -> None:
    program = (
        "import sys\n"
        "from trpo_cli.config import EnvConfig\n"
        "from trpo_cli.errors import UserError\n"
        "from trpo_cli.simulators.make import make_simulator\n"
        "for name in ('Hoper-v4', 'Hopper-v9', 'Pusher-v4'):\n"
        "    try:\n"
        "        make_simulator(EnvConfig(id=name), 1, 1)\n"
        "    except UserError:\n"
        "        pass\n"
        "print(sorted({'torch', 'mujoco', 'imageio', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n" and done.stderr == ""
