"""Lives, FIRE and rewards, on the emulator driven by hand."""

from __future__ import annotations

from typing import Any

import ale_py
import numpy as np
import pytest
from ale_py import roms

from tests.support.atari_reference import atari, sticky_random


class ByHand:
    """Breakout without no-ops and repeated actions, frame after frame."""

    def __init__(self) -> None:
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", 0.0)
        self.ale.loadROM(str(roms.get_rom_path("breakout")))
        self.actions = self.ale.getMinimalActionSet()
        self.ale.reset_game()
        self.press(ale_py.Action.FIRE)

    def press(self, action: Any) -> float:
        return float(sum(self.ale.act(action) for _ in range(4)))

    def step(self, index: int) -> tuple[float, bool, bool]:
        lives = self.ale.lives()
        reward = self.press(self.actions[index])
        if self.ale.lives() == lives or self.ale.game_over():
            return reward, False, self.ale.game_over()
        return reward + self.press(ale_py.Action.FIRE), True, self.ale.game_over()


def test_fire_is_pressed_and_no_reward_is_lost() -> None:
    sim = atari("ALE/Breakout-v5", num_envs=1, noop_max=0, sticky_actions=0.0)
    sim.reset(seed=[0])
    hand, total, lost, ended = ByHand(), 0.0, 0, 0
    for action in sticky_random(sim, 700):
        step = sim.step(action)
        reward, life, over = hand.step(int(action[0]))
        assert step.rewards[0] == reward
        assert step.lives_lost is not None
        assert (step.lives_lost[0], step.terminated[0]) == (life, over)
        total += reward
        lost += life
        ended += over
        if over:
            hand = ByHand()
    assert ended >= 2 and lost >= 4 * ended and total > 0
    sim.close()


def test_without_fire_breakout_stands_still() -> None:
    noop = np.zeros(1, int)
    moving = []
    for fire_reset in (True, False):
        sim = atari("ALE/Breakout-v5", 1, fire_reset=fire_reset, sticky_actions=0.0)
        sim.reset(seed=[0])
        lost = sum(bool(sim.step(noop).lives_lost.any()) for _ in range(120))  # type: ignore
        moving.append(lost > 0)
        sim.close()
    assert moving == [True, False]


@pytest.mark.parametrize(("env_id", "fires"), [("ALE/Pong-v5", True), ("ALE/Freeway-v5", False)])
def test_only_games_with_fire_have_it_pressed(env_id: str, fires: bool) -> None:
    with_fire = atari(env_id, 1, noop_max=0, full_action_space=True).reset(seed=[0])
    without = atari(env_id, 1, noop_max=0, fire_reset=False).reset(seed=[0])
    assert (with_fire != without).any() == fires


def test_lost_lives_are_not_told_when_they_are_no_end() -> None:
    told = atari("ALE/Breakout-v5", 2)
    quiet = atari("ALE/Breakout-v5", 2, life_loss_terminal=False)
    told.reset(seed=[1, 2])
    quiet.reset(seed=[1, 2])
    count = 0
    for action in sticky_random(told, 200):
        a, b = told.step(action), quiet.step(action)
        assert a.lives_lost is not None and b.lives_lost is not None
        count += a.lives_lost.sum()
        assert not b.lives_lost.any()
        assert not (a.lives_lost & (a.terminated | a.truncated)).any()
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.rewards, b.rewards)
    assert count > 2
    told.close()
    quiet.close()


def test_rewards_are_the_games_own() -> None:
    sim = atari("ALE/SpaceInvaders-v5", 2)
    sim.reset(seed=[1, 2])
    assert sim.step(np.zeros(2, int)).rewards.dtype == np.float64
    seen = {float(r) for action in sticky_random(sim, 300) for r in sim.step(action).rewards}
    assert max(seen) >= 10
    sim.close()


def test_an_episode_that_ends_while_fire_is_pressed_at_its_start() -> None:
    # Three frames per episode: the four of FIRE do not fit.
    sim = atari("ALE/Breakout-v5", 2, noop_max=0, kwargs={"max_num_frames_per_episode": 3})
    sim.reset(seed=[1, 2])
    for _ in range(5):
        step = sim.step(np.ones(2, int))
        assert step.truncated.all() and not step.terminated.any()
    sim.close()
