"""The MuJoCo backend against Gymnasium's own environments, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.gym_reference import (
    MUJOCO,
    assert_equal_resets,
    assert_equal_steps,
    copied,
    random_actions,
    reference,
    simulator,
)

ENDLESS = ("HalfCheetah", "Swimmer", "HumanoidStandup", "Reacher", "Pusher")

VARIATIONS: list[tuple[str, dict[str, Any]]] = [
    ("Hopper-v4", {"exclude_current_positions_from_observation": False}),
    ("Hopper-v4", {"terminate_when_unhealthy": False, "forward_reward_weight": 2.5}),
    ("Hopper-v5", {"healthy_state_range": [-3.0, 3.0], "healthy_angle_range": [-5.0, 0.1]}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "frame_skip": 2, "healthy_reward": 3}),
    ("Walker2d-v4", {"terminate_when_unhealthy": False, "healthy_reward": 0.3}),
    ("Walker2d-v5", {"exclude_current_positions_from_observation": False, "healthy_reward": 2}),
    ("HalfCheetah-v5", {"ctrl_cost_weight": 0.7, "reset_noise_scale": 0.3, "frame_skip": 3}),
    ("Swimmer-v4", {"exclude_current_positions_from_observation": False}),
    ("Ant-v4", {"use_contact_forces": True, "ctrl_cost_weight": 0.1}),
    ("Ant-v4", {"terminate_when_unhealthy": False}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False, "main_body": 2}),
    ("Ant-v5", {"contact_force_range": [-0.5, 2.0], "contact_cost_weight": 0.01}),
    ("Humanoid-v5", {"include_cinert_in_observation": False, "contact_cost_range": [0.1, 0.5]}),
    ("HumanoidStandup-v5", {"include_cvel_in_observation": False, "impact_cost_weight": 1e-5}),
    ("Reacher-v5", {"reward_dist_weight": 2, "reward_control_weight": 0.3}),
    ("Pusher-v5", {"reward_near_weight": 1, "reward_control_weight": 0.3}),
    ("InvertedPendulum-v5", {"reset_noise_scale": 0.05}),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 3, "reset_noise_scale": 0.2}),
]


# Both versions of a task, one of them with threads; in the slow tier each with and without.
@pytest.mark.parametrize(
    ("env_id", "threads"),
    [
        pytest.param(env_id, threads, marks=() if threads == 1 + n % 2 else pytest.mark.slow)
        for n, env_id in enumerate(MUJOCO)
        for threads in (1, 2)
    ],
)
def test_equals_gymnasium(env_id: str, threads: int) -> None:
    sim = simulator(env_id, threads=threads, limit=30)
    assert sim.backend == "mujoco" and sim.why_not_restorable == ""
    envs = reference(env_id, limit=30)
    assert sim.observation_space == envs[0].observation_space
    assert sim.action_space == envs[0].action_space
    assert_equal_resets(sim, envs)
    terminated, truncated = assert_equal_steps(sim, envs, random_actions(sim, 120))
    assert terminated + truncated >= 6
    if env_id.startswith(ENDLESS):
        assert truncated >= 6
    elif not env_id.startswith("Ant"):
        assert terminated >= 3


@pytest.mark.parametrize(("env_id", "kwargs"), VARIATIONS)
def test_constructor_arguments_mean_what_they_mean_there(
    env_id: str, kwargs: dict[str, Any]
) -> None:
    sim = simulator(env_id, num_envs=2, limit=30, **kwargs)
    envs = reference(env_id, num_envs=2, limit=30, **kwargs)
    assert_equal_resets(sim, envs)
    assert_equal_steps(sim, envs, random_actions(sim, 40))


@pytest.mark.parametrize("env_id", ["Hopper-v4", "HalfCheetah-v5", "Humanoid-v5", "Pusher-v5"])
def test_double_precision_actions(env_id: str) -> None:
    sim, envs = simulator(env_id, limit=10), reference(env_id, limit=10)
    assert_equal_resets(sim, envs)
    assert_equal_steps(sim, envs, random_actions(sim, 25, dtype=np.float64))


def test_registered_time_limit() -> None:
    sim, envs = simulator("HalfCheetah-v4", num_envs=1), reference("HalfCheetah-v4", num_envs=1)
    assert sim.max_episode_steps == 1000
    assert_equal_resets(sim, envs)
    assert assert_equal_steps(sim, envs, random_actions(sim, 1010)) == (0, 1)


def test_many_short_hopper_episodes() -> None:
    sim, envs = simulator("Hopper-v4", num_envs=4), reference("Hopper-v4", num_envs=4)
    assert_equal_resets(sim, envs, seed=100)
    terminated, _ = assert_equal_steps(sim, envs, random_actions(sim, 400))
    assert terminated > 50


def test_reset_of_some_environments_goes_on_with_their_generators() -> None:
    sim, envs = simulator("Hopper-v4"), reference("Hopper-v4")
    assert_equal_resets(sim, envs)
    actions = random_actions(sim, 12)
    assert_equal_steps(sim, envs, actions[:4])
    observations = sim.reset(ids=[2, 0]).copy()
    for i in (2, 0):
        np.testing.assert_array_equal(observations[i], envs[i].reset()[0])
    assert_equal_steps(sim, envs, actions[4:8])
    observations = sim.reset(ids=[1], seed=[77]).copy()
    np.testing.assert_array_equal(observations[1], envs[1].reset(seed=77)[0])
    assert_equal_steps(sim, envs, actions[8:])


def test_two_simulators_in_two_threads_do_not_disturb_each_other() -> None:
    def run(seed: int, results: dict[int, Any]) -> None:
        sim = simulator("Hopper-v4", num_envs=4)
        sim.reset(seed=range(seed, seed + 4))
        results[seed] = [copied(sim.step(a)) for a in random_actions(sim, 200, seed)]

    alone: dict[int, Any] = {}
    together: dict[int, Any] = {}
    for seed in (1, 2):
        run(seed, alone)
    threads = [threading.Thread(target=run, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        for ours, theirs in zip(alone[seed], together[seed], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)


def test_terminated_wins_over_truncated() -> None:
    """An unhealthy state at the very time limit is a termination."""
    sim = simulator("InvertedPendulum-v4", num_envs=1)
    sim.reset(seed=[0])
    length = 1
    while not sim.step(np.full((1, 1), 3.0)).terminated[0]:
        length += 1
    sim = simulator("InvertedPendulum-v4", num_envs=1, limit=length)
    sim.reset(seed=[0])
    for _ in range(length):
        step = sim.step(np.full((1, 1), 3.0))
    assert step.terminated.tolist() == [True] and step.truncated.tolist() == [False]


@pytest.mark.parametrize("env_id", ["Hopper-v4", "Humanoid-v5"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_unstable_simulation_ends_its_episode_only(
    env_id: str,
    threads: int,
    value: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    sim: Any = simulator(env_id, threads=threads)
    sound = simulator(env_id, threads=threads)
    before = sim.reset(seed=[1, 2, 3]).copy()
    sound.reset(seed=[1, 2, 3])
    snapshot = sim.snapshot([1])
    snapshot.arrays["state"][0, 2] = value
    sim.restore(snapshot, [1])
    for n, action in enumerate(random_actions(sim, 3)):
        ours, theirs = sim.step(0.1 * action), sound.step(0.1 * action)
        for i in (0, 2):
            np.testing.assert_array_equal(ours.observations[i], theirs.observations[i])
            assert ours.rewards[i] == theirs.rewards[i]
        assert np.isfinite(ours.observations).all() and np.isfinite(ours.rewards).all()
        assert ours.terminated.tolist() == [False, n == 0, False]
        assert not ours.truncated.any()
        if n == 0:
            np.testing.assert_array_equal(ours.final_observations, before[[1]])
            assert ours.rewards[1] == 0.0
    assert sim.failed_simulations == 1
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_what_mujoco_cannot_survive_ends_the_process_with_a_word(tmp_path: Path) -> None:
    """A model with too little memory for a step: from compiled code there is no way back."""
    import gymnasium.envs.mujoco as family

    original = (Path(family.__file__).parent / "assets" / "hopper.xml").read_text()
    small = tmp_path / "small.xml"
    small.write_text(original.replace("<worldbody>", '<size memory="17400"/><worldbody>', 1))
    code = f"""
import gymnasium
import numpy as np
from trpo_cli.simulators.mujoco.simulator import MujocoSimulator
from trpo_cli.simulators.mujoco.tasks import FAMILY
template = gymnasium.make("Hopper-v5", xml_file={str(small)!r}).unwrapped
sim = MujocoSimulator(template, FAMILY["hopper:HopperEnv"], True, 3, 1, 1000)
sim.reset(seed=[1, 2, 3])
sim.step(np.zeros((3, 3)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("error: MuJoCo cannot go on: ") and "resume=DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_argument_does_not_wait_for_the_compiler(tmp_path: Path) -> None:
    code = """
import sys
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.simulators.make import make_simulator
try:
    make_simulator(EnvConfig(id="Hopper-v4", kwargs={"wrong": 1}), 1, 1)
except UserError as error:
    print(error, sorted({"numba", "torch"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "env.kwargs={'wrong': 1}" in done.stdout and done.stdout.endswith(" []\n")


def test_actions_of_a_wrong_shape_are_refused() -> None:
    sim = simulator("Hopper-v4")
    sim.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="expected"):
        sim.step(np.zeros(3))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with np.errstate(all="raise"):
        sim = simulator("Walker2d-v4")
        sim.reset(seed=[1, 2, 3])
        sim.step(np.zeros((3, 6)))
    sim.close()
    assert capfd.readouterr() == ("", "")
