"""What nothing can be faster than: the physics, or the emulator, alone with random actions.

The physics is stepped in two ways, and the faster one is the ceiling: MuJoCo's own batched
stepping, and a compiled loop that does nothing but call `mj_step`. Both take the same steps of the
same number of simulations on all the cores that the process has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmark.worker import Lap, Work
from trpo_cli.system.machine import usable_cores

SIMULATIONS = 16
STEPS = 256
"""Control steps in one piece of work."""
EPISODE = 32
"""Control steps after which a simulation starts again: a random policy's episodes are about that
short."""


def timed(work: Callable[[], int]) -> Work:
    """The function, which returns its steps, with the time that it took."""

    def lap() -> Lap:
        began = time.perf_counter()
        steps = work()
        return Lap(steps, time.perf_counter() - began)

    return lap


def mujoco_batch(env: str) -> Work:
    from mujoco.batch import Batch

    model, frame_skip, controls = _task(env)
    batch = Batch(model, len(controls), usable_cores())
    batch.reset(stage=0)
    start, ctrl = batch.state.copy(), batch.bind("ctrl")

    def work() -> int:
        for k in range(STEPS):
            if k % EPISODE == 0:
                batch.state[:] = start
            ctrl[:] = controls[:, k]
            batch.step(None, frame_skip)
        return STEPS * len(controls)

    return timed(work)


def compiled_loop(env: str) -> Work:
    """A thread per core, each with its share of the simulations; they meet after `STEPS` steps."""
    import mujoco
    import numpy as np

    model, frame_skip, controls = _task(env)
    simulations = [mujoco.MjData(model) for _ in controls]
    start = state_of(model, simulations[0])
    addresses = np.array([simulation._address for simulation in simulations])
    threads = usable_cores()
    pool = ThreadPoolExecutor(threads)
    loop = make_loop()

    def advance(share: Any, its_controls: Any) -> None:
        loop(model._address, share, start, its_controls, frame_skip)

    def work() -> int:
        shares = np.array_split(addresses, threads), np.array_split(controls, threads)
        list(pool.map(advance, *shares))
        return STEPS * len(simulations)  # named here, so that they live as long as this function

    return timed(work)


def make_loop() -> Any:
    """The loop over `mj_step`, compiled, which holds no interpreter lock.

    Called with the addresses of the model and of N simulations (N,), the state that each starts
    from every `EPISODE` control steps, the controls (N, T, U), and the physics steps of a control
    step. Control steps: T. It keeps to one simulation until that is done, whose memory is then in
    the cache.
    """
    import llvmlite.binding
    import mujoco
    import numba

    library = next(Path(mujoco.__file__).parent.glob("libmujoco.*"))
    llvmlite.binding.load_library_permanently(str(library))
    types: Any = numba.types
    nothing, address, number = types.void, types.intp, types.intc
    mj_step = types.ExternalFunction("mj_step", nothing(address, address))
    mj_set_state = types.ExternalFunction("mj_setState", nothing(address, address, address, number))
    whole, control = int(mujoco.mjtState.mjSTATE_INTEGRATION), int(mujoco.mjtState.mjSTATE_CTRL)

    @numba.njit(nogil=True)
    def loop(model, simulations, start, controls, frame_skip):
        for i in range(len(simulations)):
            for k in range(controls.shape[1]):
                if k % EPISODE == 0:
                    mj_set_state(model, simulations[i], start.ctypes.data, whole)
                mj_set_state(model, simulations[i], controls[i, k].ctypes.data, control)
                for _ in range(frame_skip):
                    mj_step(model, simulations[i])

    return loop


def state_of(model: Any, simulation: Any) -> Any:
    """All that decides a simulation's future, as one row of numbers."""
    import mujoco
    import numpy as np

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, simulation, state, kind)
    return state


def _task(env: str) -> tuple[Any, int, Any]:
    """The model, the physics steps of a control step, and controls (N, STEPS, U)."""
    import gymnasium
    import numpy as np

    task: Any = gymnasium.make(env).unwrapped
    low, high = task.action_space.low, task.action_space.high
    number = max(SIMULATIONS, usable_cores())
    controls = np.random.default_rng(0).uniform(low, high, (number, STEPS, len(low)))
    return task.model, task.frame_skip, controls


def atari(env: str) -> Work:
    """ale-py's vector environment, 16 games, a thread per core, 4 frames of 84 x 84."""
    import ale_py
    import gymnasium
    import numpy as np
    from ale_py.vector_env import AtariVectorEnv

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    spec = gymnasium.registry[env].kwargs
    games = AtariVectorEnv(
        spec["game"],
        SIMULATIONS,
        num_threads=usable_cores(),
        repeat_action_probability=spec["repeat_action_probability"],
    )
    games.reset(seed=0)
    space: Any = games.single_action_space
    generator, choices, steps = np.random.default_rng(0), int(space.n), 32

    def work() -> int:
        for actions in generator.integers(choices, size=(steps, SIMULATIONS)):
            games.step(actions)
        return steps * SIMULATIONS

    return timed(work)
