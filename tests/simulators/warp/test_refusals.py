"""What env.backend=warp cannot run is refused in words."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gymnasium.envs.mujoco
import pytest

from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.make import make_simulator


def refusal(env: EnvConfig) -> str:
    with pytest.raises(UserError) as error:
        make_simulator(env, 2, 1)
    return str(error.value)


def test_other_environments() -> None:
    said = refusal(EnvConfig("CartPole-v1", backend="warp"))
    assert "env=CartPole-v1 is none of them" in said
    assert "env=ALE/Pong-v5 is none" in refusal(EnvConfig("ALE/Pong-v5", backend="warp"))


def test_wrappers() -> None:
    env = EnvConfig("Hopper-v4", wrappers=["ClipReward"], backend="warp")
    assert "env.wrappers=['ClipReward']" in refusal(env)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mujoco_warp" else find(name)
    )
    said = refusal(EnvConfig("Hopper-v4", backend="warp"))
    assert "needs the package mujoco-warp" in said and 'pip install "trpo_cli[warp]"' in said


@pytest.mark.slow
def test_a_model_with_more_than_warp_has(tmp_path: Path) -> None:
    pytest.importorskip("mujoco_warp")
    assets = Path(gymnasium.envs.mujoco.__file__).parent / "assets"
    text = (assets / "hopper.xml").read_text()
    assert "</worldbody>" in text
    flag = '</worldbody><option><flag fwdinv="enable"/></option>'
    model = tmp_path / "model.xml"
    model.write_text(text.replace("</worldbody>", flag))
    env = EnvConfig("Hopper-v5", kwargs={"xml_file": str(model)}, backend="warp")
    said = refusal(env)
    assert "mjENBL_FWDINV" in said and "env.backend=auto" in said
