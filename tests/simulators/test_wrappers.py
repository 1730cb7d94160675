"""Gymnasium wrappers from ``env.wrappers``: built, refused with a reason, and brought back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.support import running, wraps
from tests.support.gym_reference import future, random_actions, stored
from trpo_cli.commands import run as cli
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import EnvConfig, config_from_yaml, config_to_yaml
from trpo_cli.errors import UserError
from trpo_cli.simulators.base import Simulator
from trpo_cli.simulators.make import make_simulator

OURS = wraps.__name__
STATEFUL = [
    [f"{OURS}:Noise"],
    [{f"{OURS}:Noise": {"scale": 0.5}}, f"{OURS}:OldNoise"],
    [f"{OURS}:Fading"],
    ["NormalizeObservation"],
    [{"NormalizeReward": {"gamma": 0.9}}, "RecordEpisodeStatistics"],
    ["TimeAwareObservation"],
    [{"FrameStackObservation": {"stack_size": 3}}, "FlattenObservation"],
    [{"StickyAction": {"repeat_action_probability": 0.4}}, {"DelayObservation": {"delay": 2}}],
]


def made(wrappers: list[Any], env: str = "CartPole-v1", num_envs: int = 3, **kwargs: Any) -> Any:
    config = EnvConfig(env, kwargs=kwargs, wrappers=wrappers)
    return make_simulator(config, num_envs, 1)


class TestWhatTheyDo:
    def test_the_first_is_the_innermost(self) -> None:
        stack = {"FrameStackObservation": {"stack_size": 2}}
        sim = made([stack, "FlattenObservation"])
        assert sim.observation_space.shape == (8,)
        env = gymnasium.wrappers.FrameStackObservation(gymnasium.make("CartPole-v1"), 2)
        np.testing.assert_array_equal(sim.reset([0], [5])[0], env.reset(seed=5)[0].ravel())
        observation = env.step(1)[0].ravel()
        np.testing.assert_array_equal(
            sim.step(np.ones(3, int), np.array([0])).observations[0], observation
        )
        assert sim.remarks == [
            "wrappers, innermost first: FrameStackObservation, FlattenObservation"
        ]

    @pytest.mark.parametrize(
        "env", ["Hopper-v4", "trpo_cli.simulators.lqr.environment:trpo_cli/LQR-v0"]
    )
    def test_every_environment_goes_through_gymnasium(self, env: str) -> None:
        sim, plain = made(["TimeAwareObservation"], env), made([], env)
        assert sim.backend == "gymnasium" != plain.backend
        size = plain.observation_space.shape[0]
        assert sim.observation_space.shape == (size + 1,)
        ours, theirs = sim.reset(seed=[1, 2, 3]), plain.reset(seed=[1, 2, 3])
        np.testing.assert_array_equal(ours[:, :size], theirs)

    def test_a_game(self) -> None:
        sim = made([{"AtariPreprocessing": {"frame_skip": 1}}], "ALE/Pong-v5", num_envs=1)
        assert sim.backend == "gymnasium" and sim.observation_space.shape == (84, 84)
        config = EnvConfig("ALE/Pong-v5", wrappers=["ClipReward"])
        config.atari.frame_stack = 2
        with pytest.raises(UserError, match=r"frame_stack=2 cannot be combined with env.wrappers"):
            make_simulator(config, 1, 1)

    def test_statistics_are_remarked_on(self) -> None:
        assert "evaluation begins with new ones" in made(["NormalizeObservation"]).remarks[1]


class TestState:
    @pytest.mark.parametrize("wrappers", STATEFUL, ids=str)
    @pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
    def test_comes_back(self, env: str, wrappers: list[Any], tmp_path: Path) -> None:
        if env == "Pendulum-v1":
            wrappers = [*wrappers, {"DtypeObservation": {"dtype": "float32"}}]
        sim, other = made(wrappers, env), made(wrappers, env)
        assert sim.why_not_restorable == sim.why_not_branchable == ""
        sim.reset(seed=[4, 5, 6])
        other.reset(seed=[1, 2, 3])
        actions = random_actions(sim, 460)
        for action in actions[:230]:
            sim.step(action)
        snapshot = stored(sim.snapshot(), tmp_path)
        expected = future(sim, actions[230:], [0, 1, 2])
        other.restore(snapshot)
        assert future(other, actions[230:], [0, 1, 2]) == expected
        new = made(wrappers, env)
        new.restore(snapshot)
        assert future(new, actions[230:], [0, 1, 2]) == expected

    @pytest.mark.parametrize("wrappers", STATEFUL, ids=str)
    def test_a_seed_begins_anew(self, wrappers: list[Any]) -> None:
        """As evaluation relies on: whatever happened before, and in another simulator as well."""
        sim, other = made(wrappers), made(wrappers)
        actions = random_actions(sim, 120)
        runs = []
        for simulator in (sim, sim, other):
            simulator.reset(seed=[4, 5, 6])
            runs.append(future(simulator, actions, [0, 1, 2]))
        assert runs[0] == runs[1] == runs[2]

    def test_a_seed_each(self) -> None:
        observations = made([f"{OURS}:Noise"]).reset(seed=[4, 5, 4])
        assert (observations[0] == observations[2]).all()
        assert (observations[0] != observations[1]).all()

    def test_a_reseeded_branch_has_another_noise(self) -> None:
        sim = made([f"{OURS}:Noise"], num_envs=2)
        sim.reset(seed=[1, 2])
        sim.restore(sim.snapshot([0, 0][:1], portable=False).rows([0, 0]))
        sim.reseed([0, 1], [7, 8])
        seen = sim.step(np.zeros(2, int)).observations
        assert (seen[0] != seen[1]).all()

    def test_what_cannot_be_saved_is_said(self) -> None:
        sim = made([f"{OURS}:Unsayable"])
        assert "a replay of an episode went another way" in sim.why_not_restorable
        with pytest.raises(UserError, match="cannot be restored"):
            sim.snapshot()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("FlatenObservation", "not one of gymnasium.wrappers. Did you mean FlattenObservation?"),
        ("Zzz", "A wrapper of your own is written module:Name."),
        ("HumanRendering", "it draws for people to look at"),
        ("NumpyToTorch", "exchange NumPy arrays"),
        ("TimeLimit", "set env.max_episode_steps"),
        ("DictInfoToList", "it wraps a vector environment"),
        ("gymnasium.wrappers.vector:NormalizeReward", "it wraps a vector environment"),
        (f"{OURS}:Vector", "it wraps a vector environment"),
        (f"{OURS}:Nois", "has no Nois. Did you mean Noise?"),
        (f"{OURS}:NUMBER", "is 3, not a wrapper"),
        (f"{OURS}:nothing", "it returned None, not an environment"),
        ("no_such_module:Noise", "there is no module no_such_module on Python's path"),
        ({f"{OURS}:Noise": {"scal": 1}}, "with {'scal': 1}: TypeError: "),
        ({"ClipReward": {"min_reward": "a", "max_reward": 2}}, "TypeError: "),
        ({f"{OURS}:Noise": {"scale": "much"}}, "cannot be stepped with env.wrappers=[{"),
        ({"FrameStackObservation": {}}, "missing 1 required positional argument: 'stack_size'"),
        ("AddRenderObservation", "cannot be put around env=CartPole-v1: "),
        ({"A": {}, "B": {}}, "is not a wrapper: write a name such as"),
        ({"A": 3}, "is not a wrapper: write a name such as"),
        (7, "is not a wrapper: write a name such as"),
        ("DiscretizeObservation", "missing 1 required positional argument"),
    ],
    ids=str,
)
def test_refused(entry: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        made([entry])
    text = str(error.value)
    assert words in text and "\n" not in text and text.startswith("env")


class TestParts:
    """Observations of several parts are flattened."""

    def test_dict(self) -> None:
        sim: Simulator = made([], "Wraps/Parts-v0", num_envs=1)
        env: Any = gymnasium.wrappers.FlattenObservation(gymnasium.make("Wraps/Parts-v0"))
        assert sim.observation_space.shape == (3 + 2 + 2 + 5,)
        np.testing.assert_array_equal(sim.reset(seed=[3])[0], env.reset(seed=3)[0])
        np.testing.assert_array_equal(sim.step(np.array([1])).observations[0], env.step(1)[0])
        (remark,) = sim.remarks
        assert remark.startswith("observations are a Dict, flattened to 12 numbers: Dict(")
        assert sim.why_not_restorable == sim.why_not_branchable == ""

    def test_tuple(self) -> None:
        assert made([], "Blackjack-v1").remarks[0].startswith("observations are a Tuple")

    @pytest.mark.parametrize(
        ("kwargs", "words"),
        [
            ({"image": True}, r"observations\['view'\] are images beside other parts"),
            ({"text": True}, r"observations\['rest'\]\[0\] are Text.*float32 numbers cannot"),
        ],
    )
    def test_refused(self, kwargs: dict[str, Any], words: str) -> None:
        with pytest.raises(UserError, match=words):
            made([], "Wraps/Parts-v0", **kwargs)

    def test_the_parts_that_are_wanted(self) -> None:
        chosen = {"FilterObservation": {"filter_keys": ["mode", "place"]}}
        assert made([chosen], "Wraps/Parts-v0", image=True).observation_space.shape == (5,)


class TestCommandLine:
    def test_written_with_and_without_arguments(self) -> None:
        config = config_of(
            "env=CartPole-v1",
            f"env.wrappers=[FlattenObservation,{{{OURS}:Noise:{{scale:0.2}}}},{OURS}:Fading]",
        )
        expected = ["FlattenObservation", {f"{OURS}:Noise": {"scale": 0.2}}, f"{OURS}:Fading"]
        assert config.env.wrappers == expected
        assert config_from_yaml(config_to_yaml(config), trusted=True).env.wrappers == expected

    def test_older_files_have_none(self) -> None:
        text = config_to_yaml(config_of("env=CartPole-v1")).replace("  wrappers: []\n", "")
        assert "wrappers" not in text and config_from_yaml(text).env.wrappers == []

    def test_refused_before_anything_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert cli.main(["env=CartPole-v1", f"env.wrappers=[{{{OURS}:Noise:{{scal:1}}}}]"]) == 2
        assert "unexpected keyword argument 'scal'" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_killed_and_resumed(self, tmp_path: Path) -> None:
        """To the bit, evaluations included, with three kinds of state."""
        wrappers = f"[{{{OURS}:Noise:{{scale:0.2}}}},NormalizeObservation,{OURS}:Fading]"
        settings = running.settings("ppo", "CartPole-v1", **{"env.wrappers": wrappers})
        folders = [tmp_path / "whole", tmp_path / "killed"]
        whole, killed = (
            running.start(*settings, f"hydra.run.dir={folder}", cwd=tmp_path) for folder in folders
        )
        assert running.wait_until(killed, lambda: running.count_rows(folders[1]) >= 4)
        killed.kill()
        killed.communicate()
        status, out, err = running.finish(whole)
        assert status == 0, err
        assert "gymnasium environments" in out and "wrappers, innermost first: " in out
        assert "new episodes" not in out
        resumed = running.start(f"resume={folders[1]}", cwd=tmp_path)
        status, out, err = running.finish(resumed)
        assert status == 0 and "new episodes" not in out, out + err
        running.check_same(folders[1], running.result(folders[0]))
        config = json.loads((folders[1] / "manifest.json").read_text())
        assert config["status"] == "finished"
