"""MuJoCo Warp as a simulator: against MuJoCo's own physics, and the protocol."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium.envs.mujoco
import numpy as np
import pytest
import torch

from tests.support.gym_reference import MUJOCO
from tests.support.mujoco_tasks import entry
from trpo_cli.config import EnvConfig
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.mujoco.simulator import MujocoSimulator
from trpo_cli.simulators.mujoco.stepping import restart
from trpo_cli.simulators.warp.sizes import Sizes
from trpo_cli.simulators.warp.starts import draw, starts_on
from warp_agreement import actions_of, errors, measure

if TYPE_CHECKING:
    from trpo_cli.simulators.warp.simulator import WarpSimulator

# The package is imported by the tests alone: it takes seconds.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mujoco_warp") is None, reason="MuJoCo Warp is not installed"),
]

# A GPU sums in any order: what is exact on the CPU is not tested there.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def simulator(
    env_id: str, num_envs: int = 4, device: str = "cpu", limit: int | None = None, **kwargs: Any
) -> WarpSimulator:
    config = EnvConfig(env_id, kwargs=kwargs, max_episode_steps=limit, backend="warp")
    made: Any = make_simulator(config, num_envs, 1, device=device)
    assert made.backend == "warp"
    return made


# About ten times what docs/gpu.md says: the median and the largest error after one step, and the
# median after twenty. What touches the ground multiplies errors; a world there gets to another
# contact, a little earlier or later, and its velocities differ by what that contact does. None of
# the pendulums stands for so long.
TOLERANCES = {
    "Hopper": (2e-6, 3e-5, 3e-5),
    "Walker2d": (2e-5, 1e-3, 2e-4),
    "HalfCheetah": (1e-5, 1e-3, 5e-3),
    "Swimmer": (3e-6, 3e-5, 1e-5),
    "Humanoid": (5e-5, 1e-2, 5e-4),
    "HumanoidStandup": (2e-4, 2e-2, 3e-4),
    "Reacher": (1e-6, 3e-5, 1e-5),
    "Pusher": (2e-6, 4e-5, 2e-5),
    "InvertedPendulum": (4e-7, 2e-6, None),
    "InvertedDoublePendulum": (1e-6, 1e-5, None),
}


@pytest.mark.parametrize("env_id", [x for x in MUJOCO if not x.startswith("Ant")])
def test_agrees_with_mujoco(env_id: str) -> None:
    median, largest, later = TOLERANCES[env_id.partition("-")[0]]
    found = measure(env_id)
    assert np.median(found.first) < median and found.first.max() < largest
    assert found.reward.max() < largest
    assert found.ended_differently == 0
    if later is not None:
        assert np.median(found.last) < later


@pytest.mark.parametrize("env_id", ["Ant-v4", "Ant-v5"])
def test_the_ant_agrees_where_friction_has_no_corners(
    env_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pyramids of friction it does not: MuJoCo Warp turns those of steep capsules. With cones
    the turn makes no difference."""
    import mujoco

    from trpo_cli.simulators import make

    build = make.build_env

    def round_friction(*args: Any) -> Any:
        env: Any = build(*args)
        env.unwrapped.model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        return env

    turned = measure(env_id).first
    monkeypatch.setattr(make, "build_env", round_friction)
    found = measure(env_id)
    assert np.median(found.first) < 2e-5 and found.first.max() < 2e-2
    assert found.reward.max() < 1e-4 and np.median(found.last) < 1e-3
    assert turned.max() > 0.1  # otherwise docs/gpu.md has something to unlearn


STARTS: list[tuple[str, dict[str, Any]]] = [
    *((env_id, {}) for env_id in MUJOCO),
    ("Ant-v4", {"use_contact_forces": True}),
    ("Ant-v5", {"main_body": 3}),  # which does not stand where the first three positions say
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("env_id", "kwargs"), STARTS)
def test_first_observations_are_mujoco_s(env_id: str, kwargs: dict[str, Any], device: str) -> None:
    """After a reset and after a truncation: what MuJoCo shows of the same coordinates, at rest
    and without a forgotten force, up to rounding to single precision."""
    first_observations(env_id, device, **kwargs)


def test_first_observations_with_forces_at_rest(tmp_path: Path) -> None:
    """Position servos pull before anybody has said anything."""
    assets = Path(gymnasium.envs.mujoco.__file__).parent / "assets"
    model, text = tmp_path / "model.xml", (assets / "humanoid.xml").read_text()
    assert text.count("<motor") == 18  # one of them in the defaults
    model.write_text(text.replace("<motor", '<position kp="0.001"'))
    shown = first_observations("Humanoid-v5", "cpu", xml_file=str(model))
    forces = 22 + 23 + 130 + 78  # behind positions, velocities, inertias and body velocities
    assert np.abs(shown[:, forces : forces + 17]).min(1).max() > 1e-6


def first_observations(env_id: str, device: str, **kwargs: Any) -> np.ndarray:
    """Those of two episodes of four worlds, on both; those of the second episode."""
    ours = simulator(env_id, 4, device, limit=2, **kwargs)
    env, found, v5 = entry(env_id, **kwargs)
    theirs = MujocoSimulator(env, found, v5, 4, 1, None)
    starts, seeds = starts_on(found.start(env, v5), torch.device("cpu")), torch.arange(4) + 3
    place = theirs.places.addresses[0]
    shown = ours.reset(seed=seeds.tolist())
    for episode in range(2):
        coordinates = draw(starts, seeds, torch.full((4,), episode)).double().numpy()
        for i in range(4):
            restart(theirs.world, place, theirs.simulations, i, coordinates[i])
        expected = theirs.simulations.observations
        assert errors(shown, expected).max() < 1e-5
        ours_now = ours.snapshot().arrays["progress"]
        np.testing.assert_allclose(ours_now, theirs.simulations.progress, rtol=0, atol=2e-6)
        actions = actions_of(ours, 2, episode)
        assert not len(ours.step(actions[0]).ended)
        step = ours.step(actions[1])
        over = step.truncated | step.terminated
        assert over.all() and step.ended.tolist() == [0, 1, 2, 3]
        assert np.abs(step.final_observations - step.observations).max(1).min() > 1e-4
        shown = step.observations
    return shown


@pytest.mark.parametrize("env_id", ["Hopper-v4", "Humanoid-v5", "InvertedDoublePendulum-v5"])
def test_snapshot_and_restore_are_exact(env_id: str) -> None:
    """Also across new episodes, into other rows and into another simulator."""
    ours = simulator(env_id, 3, limit=12)
    ours.reset(seed=[5, 6, 7])
    actions = actions_of(ours, 40, 0)
    for action in actions[:10]:
        ours.step(action)
    kept = ours.snapshot()
    future = [steps_of(ours, action) for action in actions[10:]]
    assert any(len(step[4]) for step in future)
    ours.restore(kept)
    other = simulator(env_id, 5, limit=12)
    other.reset()
    shown = other.restore(kept, [4, 0, 2])
    np.testing.assert_array_equal(shown[[4, 0, 2]], kept.arrays["observations"])
    for action, expected in zip(actions[10:], future, strict=True):
        again = steps_of(ours, action)
        for one, two in zip(again, expected, strict=True):
            np.testing.assert_array_equal(one, two)
        moved = np.zeros((5, *action.shape[1:]), dtype=np.float32)
        moved[[4, 0, 2]] = action
        elsewhere = steps_of(other, moved)
        for one, two in zip(elsewhere[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(one[[4, 0, 2]], two)


def steps_of(sim: WarpSimulator, action: np.ndarray) -> list[np.ndarray]:
    step = sim.step(action)
    parts = (step.observations, step.rewards, step.terminated, step.truncated)
    return [np.copy(x) for x in (*parts, step.ended, step.final_observations)]


def test_a_reset_leaves_the_others_alone() -> None:
    ours, alone = (simulator("HalfCheetah-v4", 4) for _ in range(2))
    first = ours.reset(seed=[1, 2, 3, 4])
    np.testing.assert_array_equal(alone.reset(seed=[1, 2, 3, 4]), first)
    actions = actions_of(ours, 6, 0)
    for action in actions[:3]:
        before = ours.step(action).observations
        alone.step(action)
    shown = ours.reset([1, 3])
    np.testing.assert_array_equal(shown[[0, 2]], before[[0, 2]])
    assert np.abs(shown[[1, 3]] - first[[1, 3]]).max(1).min() > 1e-3  # the next episode's start
    again = ours.reset([1, 3], seed=[2, 4])
    np.testing.assert_array_equal(again[[1, 3]], first[[1, 3]])
    for action in actions[3:]:
        mine, theirs = ours.step(action), alone.step(action)
        np.testing.assert_array_equal(mine.observations[[0, 2]], theirs.observations[[0, 2]])
    few = simulator("HalfCheetah-v4", 1)
    np.testing.assert_array_equal(few.reset(seed=[3])[0], first[2])


def test_a_step_of_some_leaves_the_others_standing() -> None:
    ours, alone = (simulator("Hopper-v4", 4, limit=3) for _ in range(2))
    for sim in (ours, alone):
        sim.reset(seed=[1, 2, 3, 4])
    before = ours.snapshot()
    actions = actions_of(ours, 3, 0)
    for action in actions:
        part = ours.step(action, np.array([0, 2]))
        whole = alone.step(action)
        np.testing.assert_array_equal(part.rewards[[0, 2]], whole.rewards[[0, 2]])
    assert part.ended.tolist() == [0, 2] and whole.ended.tolist() == [0, 1, 2, 3]
    after = ours.snapshot([1, 3])
    for name, rows in before.rows([1, 3]).arrays.items():
        np.testing.assert_array_equal(after.arrays[name], rows)


def test_a_failed_simulation_ends_its_episode() -> None:
    ours, alone = (simulator("HalfCheetah-v4", 3) for _ in range(2))
    for sim in (ours, alone):
        sim.reset(seed=[1, 2, 3])
    broken = ours.snapshot([1])
    shown = np.copy(broken.arrays["observations"])
    broken.arrays["qvel"][0, 2] = np.nan
    ours.restore(broken, [1])
    action = actions_of(ours, 1, 0)[0]
    step, expected = ours.step(action), alone.step(action)
    assert step.terminated.tolist() == [False, True, False] and not step.truncated.any()
    assert step.rewards[1] == 0.0 and ours.failed_simulations == 1
    np.testing.assert_array_equal(step.final_observations, shown)
    np.testing.assert_array_equal(step.observations[[0, 2]], expected.observations[[0, 2]])
    for _ in range(3):
        assert np.isfinite(ours.step(action).observations).all()
    assert ours.failed_simulations == 1 and alone.failed_simulations == 0


def test_tensors_without_a_copy() -> None:
    """What `advance` returns is the same memory each time, and says what `step` says."""
    ours, other = (simulator("HalfCheetah-v5", 3, limit=2) for _ in range(2))
    for sim in (ours, other):
        sim.reset(seed=[1, 2, 3])
    addresses = set()
    for action in actions_of(ours, 3, 0):
        result = ours.advance(torch.from_numpy(action))
        step = other.step(action)
        np.testing.assert_array_equal(result.observations.cpu(), np.float32(step.observations))
        np.testing.assert_array_equal(result.rewards.cpu(), np.float32(step.rewards))
        np.testing.assert_array_equal(result.truncated.cpu(), step.truncated)
        if len(step.ended):
            final = result.final_observations.cpu()
            np.testing.assert_array_equal(final, np.float32(step.final_observations))
        else:
            np.testing.assert_array_equal(result.final_observations, result.observations)
        assert result.observations.dtype == result.rewards.dtype == torch.float32
        addresses.add(tuple(tensor.data_ptr() for tensor in (*result, ours.observations)))
    assert len(addresses) == 1


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Pusher-v5"])
def test_recorded_work_computes_the_same(env_id: str) -> None:
    from trpo_cli.simulators.warp.simulator import WarpSimulator

    env, found, v5 = entry(env_id)
    both = [
        WarpSimulator(env, found, v5, 3, 9, torch.device("cpu"), graphs=graphs)
        for graphs in (True, False)
    ]
    first = [sim.reset(seed=[1, 2, 3]) for sim in both]
    np.testing.assert_array_equal(first[0], first[1])
    for action in actions_of(both[0], 12, 0):
        one, two = (steps_of(sim, action) for sim in both)
        for x, y in zip(one, two, strict=True):
            np.testing.assert_array_equal(x, y)


def test_what_finds_no_room_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A falling cheetah touches the ground with more than one foot."""
    monkeypatch.setattr("trpo_cli.simulators.warp.stepping.measured", lambda model: Sizes(1, 2))
    ours = simulator("HalfCheetah-v4", 2, limit=20)
    ours.reset(seed=[0, 1])
    assert ours.lost() == ""
    for _ in range(19):
        ours.advance(torch.zeros(2, 6))
    said = ours.lost()
    assert "no room" in said and "constraints" in said
    assert ours.lost() == ""
    ours.advance(torch.zeros(2, 6))
    ours.reset(seed=[0, 1])
    for _ in range(40):
        ours.step(np.zeros((2, 6)))
    assert capsys.readouterr().err.count("no room for all") == 1
