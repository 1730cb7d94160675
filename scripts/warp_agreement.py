"""How far MuJoCo Warp is from MuJoCo, task by task: the table of docs/gpu.md.

    python scripts/warp_agreement.py                 # all tasks, version 5
    python scripts/warp_agreement.py Ant-v4 Hopper-v4

Worlds that MuJoCo has brought somewhere by random control go on with the same actions on both. A
world's error is the largest |warp - mujoco| / (1 + |mujoco|) over the numbers that it shows. Beside
it stands how far MuJoCo gets from itself when its state is rounded to single precision once.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import mujoco
import numpy as np
import torch

from trpo_cli.config import EnvConfig
from trpo_cli.simulators.base import Snapshot
from trpo_cli.simulators.make import make_simulator
from trpo_cli.simulators.mujoco.native import FULL_STATE
from trpo_cli.simulators.mujoco.simulator import MujocoSimulator

if TYPE_CHECKING:
    from trpo_cli.simulators.warp.simulator import WarpSimulator

TASKS = (
    "Hopper", "Walker2d", "HalfCheetah", "Swimmer", "Ant", "Humanoid", "HumanoidStandup",
    "Reacher", "Pusher", "InvertedPendulum", "InvertedDoublePendulum",
)  # fmt: skip
WORLDS, BEFORE, AFTER = 64, 25, 20


class Agreement(NamedTuple):
    """Errors after 1 step and after all of them, a number for each world that has not ended by
    then: of what it shows, of the rewards of the first step. itself: MuJoCo's against itself.
    ended_differently: worlds whose first end came at another step, or on one side only."""

    first: np.ndarray
    last: np.ndarray
    reward: np.ndarray
    itself: np.ndarray
    ended_differently: int


def pair(env_id: str, worlds: int) -> tuple[MujocoSimulator, WarpSimulator]:
    """The same environments on both."""
    made: list[Any] = [
        make_simulator(EnvConfig(env_id, backend=backend), worlds, 1)
        for backend in ("auto", "warp")
    ]
    return made[0], made[1]


def state_of(sim: MujocoSimulator) -> Snapshot:
    """MuJoCo's simulations as `WarpSimulator` keeps them; the counters of their episodes are 0."""
    data, kept = mujoco.MjData(sim.model), ("qpos", "qvel", "qacc_warmstart", "act", "time")
    rows: dict[str, list[Any]] = {name: [] for name in kept}
    for state in sim.simulations.state:
        mujoco.mj_setState(sim.model, data, state, FULL_STATE)
        for name in kept:
            rows[name].append(np.copy(getattr(data, name)))
    arrays: dict[str, Any] = {
        name: np.array(values, dtype=np.float32) for name, values in rows.items()
    }
    simulations = sim.simulations
    arrays["observations"] = simulations.observations.astype(np.float32)
    arrays["progress"] = simulations.progress.astype(np.float32)
    arrays["elapsed"] = simulations.elapsed.copy()
    arrays["seeds"] = np.arange(sim.num_envs, dtype=np.int64)
    arrays["counters"] = np.zeros(sim.num_envs, dtype=np.int64)
    return Snapshot(arrays, [None] * sim.num_envs)


def round_states(sim: MujocoSimulator) -> None:
    """Positions and velocities in single precision."""
    data = mujoco.MjData(sim.model)
    for state in sim.simulations.state:
        mujoco.mj_setState(sim.model, data, state, FULL_STATE)
        data.qpos, data.qvel = np.float32(data.qpos), np.float32(data.qvel)
        mujoco.mj_getState(sim.model, data, state, FULL_STATE)


def actions_of(sim: Any, steps: int, seed: int) -> np.ndarray:
    """(steps, N, nu) float32, uniform in the action space."""
    low, high = sim.action_space.low, sim.action_space.high
    shape = (steps, sim.num_envs, len(low))
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def errors(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(N,): of what each world shows."""
    return np.max(np.abs(ours - theirs) / (1.0 + np.abs(theirs)), axis=1)


def measure(env_id: str, worlds: int = WORLDS) -> Agreement:
    theirs, ours = pair(env_id, worlds)
    theirs.reset(seed=range(worlds))
    for action in actions_of(theirs, BEFORE, 0):
        theirs.step(action)
    ours.restore(state_of(theirs))
    rounded, _ = pair(env_id, worlds)
    rounded.restore(theirs.snapshot())
    round_states(rounded)
    going = np.ones((3, worlds), dtype=bool)
    ended_differently = np.zeros(worlds, dtype=bool)
    first = reward = np.zeros(0)
    for k, action in enumerate(actions_of(theirs, AFTER, 1)):
        steps = [sim.step(action) for sim in (theirs, ours, rounded)]
        ends = np.array([step.terminated | step.truncated for step in steps])
        ended_differently |= going[:2].all(0) & (ends[0] != ends[1])
        going &= ~ends
        both = going[:2].all(0)
        if k == 0:
            first = errors(steps[1].observations, steps[0].observations)[both]
            reward = np.abs(steps[1].rewards - steps[0].rewards)[both]
    last = errors(steps[1].observations, steps[0].observations)[both]
    alone = going[[0, 2]].all(0)
    itself = errors(steps[2].observations, steps[0].observations)[alone]
    if complaint := ours.lost():
        raise SystemExit(f"{env_id}: {complaint}")
    return Agreement(first, last, reward, itself, int(ended_differently.sum()))


def shown(values: np.ndarray) -> str:
    """Median and maximum."""
    if not len(values):
        return "none goes on"
    return f"{np.median(values):.0e}, {values.max():.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("env", nargs="*", default=[f"{name}-v5" for name in TASKS])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| task | 1 step | reward of it | 20 steps | MuJoCo itself, 20 steps | other ends |")
    print("|---|---|---|---|---|---|")
    for env_id in parser.parse_args().env:
        found = measure(env_id)
        columns = [shown(x) for x in (found.first, found.reward, found.last, found.itself)]
        print(
            f"| {env_id} | {' | '.join(columns)} | {found.ended_differently} of {WORLDS} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
