"""The task that needs memory, and the wrapper that hides numbers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.support.small import f32
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.part_of import PartOf
from trpo_cli.simulators.recall import RecallEnv

PART_OF = "trpo_cli.simulators.part_of:PartOf"


class TestRecall:
    def test_pays_for_the_cue_at_the_end_alone(self) -> None:
        env, found = RecallEnv(delay=2), set()
        for seed in range(10):
            observation, _ = env.reset(seed=seed)
            cue, seen, paid, over = observation[0], [observation], [], False
            assert abs(cue) == 1.0
            while not over:
                observation, reward, over, _, _ = env.step(int(cue > 0))
                seen.append(observation)
                paid.append(reward)
            np.testing.assert_array_equal(seen[1:4], [[0, 0], [0, 0], [0, 1]])
            assert paid == [0.0, 0.0, 0.0, 1.0]
            found.add(float(cue))
        assert found == {-1.0, 1.0}

    def test_the_other_side_costs(self) -> None:
        env = RecallEnv(delay=0)
        cue = env.reset(seed=0)[0][0]
        env.step(0)
        assert env.step(int(cue < 0))[1] == -1.0

    def test_gymnasium_finds_nothing_wrong(self) -> None:
        check_env(RecallEnv(), skip_render_check=True)


class TestPartOf:
    def test_shows_the_numbers_that_were_chosen(self) -> None:
        wrapped = PartOf(gymnasium.make("Pendulum-v1"), [1, 0])
        plain = gymnasium.make("Pendulum-v1")
        whole = plain.reset(seed=3)[0]
        np.testing.assert_array_equal(wrapped.reset(seed=3)[0], whole[[1, 0]])
        action = f32([0.5])
        np.testing.assert_array_equal(wrapped.step(action)[0], plain.step(action)[0][[1, 0]])
        assert wrapped.observation_space.contains(whole[[1, 0]])

    @pytest.mark.parametrize("numbers", [[3], [-1], [], [0, 0]])
    def test_numbers_that_there_are_not_are_refused(self, numbers: Any) -> None:
        env = EnvConfig(id="Pendulum-v1", wrappers=[{PART_OF: {"numbers": numbers}}])
        with pytest.raises(UserError, match="distinct ones from 0 to 2"):
            make_simulator(env, 1, 1)

    def test_is_named_on_the_command_line(self) -> None:
        config = config_of("env=Pendulum-v1", f"env.wrappers=[{{{PART_OF}:{{numbers:[0]}}}}]")
        assert make_simulator(config.env, 2, 1).observation_space.shape == (1,)
