"""An episode that is played again from its seed and its actions is the one that was evaluated."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.errors import UserError
from trpo_cli.samplers.whole_episodes import Watched
from trpo_cli.seeding import stream
from trpo_cli.simulators import screen as screens
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.mujoco import drawing
from trpo_cli.simulators.screen import make_screen
from trpo_cli.training.build import build_policy, prepare
from trpo_cli.training.evaluation import evaluate

DRAWN = "tests.support.drawn_env:Drawn-v0"
SEEDS = [5, 6, 7, 8, 9]


def evaluated(env: str, *said: str, deterministic: bool = False, count: int = 3) -> Any:
    """The configuration, the result, and the actions of the first `count` of five episodes."""
    config = prepare(config_of(f"env={env}", "algo=ppo", *said)).config
    simulator = make_simulator(config.env, 2, 1)
    policy = build_policy(config, simulator, stream(0, "policy_init"))
    watched = Watched(count)
    generator = np.random.default_rng(0)
    result = evaluate(
        policy, simulator, len(SEEDS), deterministic, SEEDS, generator, watched=watched
    )
    simulator.close()
    return config, result, watched.episodes()


def played_again(screen: Any, seed: int, actions: np.ndarray) -> float:
    screen.reset(seed)
    total = 0.0
    for action in actions:
        total += screen.step(action)
    return total


class TestSameEpisode:
    """To the bit: the screen sums the same rewards in the same order."""

    def test_of_an_environment_of_ones_own(self):
        config, result, episodes = evaluated(DRAWN)
        screen = make_screen(config.env)
        assert [len(actions) for actions in episodes] == result.lengths[:3]
        for seed, actions, paid in zip(SEEDS, episodes, result.returns, strict=False):
            assert played_again(screen, seed, actions) == paid

    @pytest.mark.parametrize("said", ["policy.actions=rescale", "policy.actions=raw"])
    def test_of_the_compiled_mujoco_tasks(self, said, monkeypatch):
        monkeypatch.setattr(drawing, "choose_library", lambda: None)
        monkeypatch.setattr(screens.GymnasiumScreen, "image", lambda self: None)
        config, result, episodes = evaluated("Hopper-v4", said)
        screen = make_screen(config.env)
        for seed, actions, paid in zip(SEEDS, episodes, result.returns, strict=False):
            assert played_again(screen, seed, actions) == paid
        screen.close()

    def test_of_an_atari_game(self):
        pytest.importorskip("ale_py")
        limits = ["env.max_episode_steps=40", "policy=mlp", "env.atari.frame_height=20"]
        config, result, episodes = evaluated("ALE/SpaceInvaders-v5", *limits, count=2)
        screen = make_screen(config.env)
        assert screen.steps_per_second == 15.0  # 60 frames a second, 4 a step
        for seed, actions, paid in zip(SEEDS, episodes, result.returns, strict=False):
            assert played_again(screen, seed, actions) == paid
        assert screen.image().shape == (210, 160, 3)

    def test_watching_changes_no_return(self):
        _, watched, _ = evaluated("Hopper-v4", count=4)
        _, unwatched, episodes = evaluated("Hopper-v4", count=0)
        assert watched.returns == unwatched.returns and episodes == []


class TestScreens:
    def test_one_that_draws_nothing_is_refused(self):
        with pytest.raises(UserError, match="Blind-v0 cannot be"):
            make_screen(config_of("env=tests.support.drawn_env:Blind-v0").env)

    def test_a_window_needs_a_display(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(UserError, match="no display here"):
            make_screen(config_of(f"env={DRAWN}").env, "human")


class TestLibrary:
    @pytest.fixture(autouse=True)
    def unset(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv(drawing.VARIABLE, "")  # so that what a test sets is taken back

    def test_the_first_that_works_is_chosen(self, monkeypatch):
        monkeypatch.setattr(drawing, "_works", lambda library: library == "osmesa")
        drawing.choose_library()
        assert os.environ[drawing.VARIABLE] == "osmesa"

    def test_the_error_names_the_packages(self, monkeypatch):
        monkeypatch.setattr(drawing, "_works", lambda library: False)
        with pytest.raises(UserError, match=r"libegl1 .*libosmesa6"):
            drawing.choose_library()

    def test_a_person_chooses(self, monkeypatch):
        monkeypatch.setenv(drawing.VARIABLE, "glfw")
        monkeypatch.setattr(drawing, "_works", lambda library: pytest.fail("tried"))
        drawing.choose_library()
        assert os.environ[drawing.VARIABLE] == "glfw"

    def test_a_crash_is_a_library_that_does_not_work(self, monkeypatch):
        def crash(*args: Any, **options: Any) -> Any:
            return subprocess.CompletedProcess(args, -11, b"", b"")

        monkeypatch.setattr(subprocess, "run", crash)
        assert not drawing._works("egl")
