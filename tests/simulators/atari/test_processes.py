"""Worker processes: light, deaf to signals, never left behind, and their failures told."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.atari_reference import atari
from trpo_cli.errors import RunFailed


def pids(sim: Any) -> list[int]:
    return [worker._process.pid for worker in sim._team.workers]


def gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def begun(**kwargs: Any) -> Any:
    sim = atari("ALE/Pong-v5", num_envs=3, threads=2, **kwargs)
    sim.reset(seed=[1, 2, 3])
    return sim


def test_nothing_is_started_to_look_at_the_spaces() -> None:
    sim = atari("ALE/Pong-v5", num_envs=3, threads=2)
    assert pids(sim) == []
    sim.close()
    sim.close()


def test_one_process_per_thread_and_none_without_an_environment() -> None:
    sim = begun()
    assert len(pids(sim)) == 2
    few = atari("ALE/Pong-v5", num_envs=1, threads=4)
    few.reset(seed=[1])
    assert len(pids(few)) == 1
    for one in (sim, few):
        one.close()
        one.close()
        assert all(gone(pid) for pid in pids(one))


def test_use_after_closing() -> None:
    sim = begun()
    sim.close()
    with pytest.raises(RunFailed, match="the simulator is closed"):
        sim.step(np.zeros(3, int))


def test_dropped_simulators_end_their_workers() -> None:
    sim = begun()
    started = pids(sim)
    del sim
    gc.collect()
    assert all(gone(pid) for pid in started)


def test_a_killed_worker_is_a_failed_run() -> None:
    sim = begun()
    started = pids(sim)
    os.kill(started[1], signal.SIGKILL)
    with pytest.raises(RunFailed) as error:
        for _ in range(2):
            sim.step(np.zeros(3, int))
    text = str(error.value)
    assert text.startswith("env=ALE/Pong-v5, environments 1 to 2: the process that runs them")
    assert "was killed by signal 9 (SIGKILL)" in text
    assert all(gone(pid) for pid in started)
    with pytest.raises(RunFailed):
        sim.reset()


def test_an_exception_in_a_worker_comes_back_with_its_text() -> None:
    sim = begun()
    started = pids(sim)
    snapshot = sim.snapshot()
    snapshot.arrays["state"][1] = 0  # no state of the emulator's
    with pytest.raises(RunFailed, match=r"environment 1 failed: ValueError: this is no state"):
        sim.restore(snapshot)
    assert all(gone(pid) for pid in started)


def test_snapshot_of_another_game() -> None:
    other, sim = atari("ALE/Breakout-v5", num_envs=3), begun()
    other.reset(seed=[1, 2, 3])
    with pytest.raises(RunFailed, match="environment 0 failed: ValueError: the snapshot is of"):
        sim.restore(other.snapshot())
    other.close()


def test_signals_are_left_to_the_run() -> None:
    sim = begun()
    for pid in pids(sim):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(pid, number)
    sim.step(np.zeros(3, int))
    sim.close()


PROGRAM = """
import os, signal, sys, time
import numpy as np
from trpo_cli.config import EnvConfig
from trpo_cli.simulators.make import make_simulator
sim = make_simulator(EnvConfig("ALE/Pong-v5"), 3, 2)
sim.reset(seed=[1, 2, 3])
print(*[worker._process.pid for worker in sim._team.workers], flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
while sys.argv[1] == "step":
    sim.step(np.zeros(3, int))
"""


def run(how: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


@pytest.mark.parametrize("how", ["wait", "step"])
def test_workers_end_with_a_killed_run(how: str, tmp_path: Path) -> None:
    process = run(how, tmp_path)
    try:
        assert process.stdout is not None
        started = [int(word) for word in process.stdout.readline().split()]
        assert len(started) == 2 and not any(gone(pid, 0.1) for pid in started)
    finally:
        process.kill()
        process.communicate()
    assert all(gone(pid) for pid in started)


def test_a_run_that_closes_nothing_ends_quietly(tmp_path: Path) -> None:
    process = run("end", tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == ""
    assert all(gone(int(word)) for word in out.split())
    assert list(tmp_path.iterdir()) == []


def test_workers_do_not_load_what_they_do_not_need() -> None:
    program = (
        "import sys\n"
        "from trpo_cli.simulators.atari import worker\n"
        "sys.modules['gymnasium'] = None\n"
        "import trpo_cli.simulators.atari.game\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'mujoco', 'gymnasium.spaces', 'tensorboard'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n" and done.stderr == ""


def test_a_user_script_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("print('once', flush=True)\n" + PROGRAM)
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')\n")
    done = subprocess.run(
        [sys.executable, "-P", str(script), "end"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "once" and len(done.stdout.splitlines()) == 2


def test_an_interrupted_step_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = begun()
    started = pids(sim)

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sim._team.workers[1], "wait", interrupt)
    with contextlib.suppress(KeyboardInterrupt):
        sim.step(np.zeros(3, int))
    assert all(gone(pid) for pid in started)
