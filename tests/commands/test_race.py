"""``trpo-run -m --until-decided``: what is refused, and a race from its first run to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import finish, start, wait_until

RACE = ["-m", "env=CartPole-v1", "--until-decided"]
TWO = [*RACE, "algo=trpo,vpg"]

BAD = [
    ([*RACE, "algo=trpo"], "compares groups, and there is only one", "-m algo=trpo,ppo"),
    ([*RACE, "algo=trpo,trpo"], "algo=trpo", "is there twice"),
    (["--until-decided", "algo=trpo"], "add -m and several values", "--until-decided"),
    ([*TWO, "seed=0,1,2"], "seed=0,1,2: --until-decided chooses the seeds itself", "--max-seeds"),
    ([*TWO, "seed=range(3)"], "seed=range(3)", "give the first one"),
    ([*TWO, "seed=null"], "seed=null", "Leave seed out"),
    ([*TWO, "--max-seeds", "3"], "--max-seeds 3 cannot decide", "needs 4 runs of each group"),
    ([*TWO, "--max-seeds", "1"], "1 is no whole number from 2 to 1000", "--max-seeds"),
    ([*TWO, "--max-hours", "0"], "0 is no number of hours", "--max-hours"),
    ([*TWO, "--difference", "ten"], "ten is no difference of returns", "10%"),
    ([*TWO, "--difference=-5%"], "is no difference of returns", "--difference"),
    ([*TWO, "--error-rate", "5"], "5 is no probability", "--error-rate"),
    ([*TWO, "eval.episodes=0"], "eval.episodes=0", "final evaluation"),
    ([*TWO, "hydra/launcher=basic"], "hydra/launcher", "decides on this machine"),
    ([*TWO, "hydra.sweep.subdir=${algo.name}"], "hydra.sweep.subdir", "numbers its runs"),
    (["-m", "algo=trpo,ppo", "--max-seeds", "9"], "--max-seeds bounds a race", "--until-decided"),
    (["resume=x", "--max-seeds", "9"], "--max-seeds: resume=x goes on with the bounds", "anew"),
    (["resume=x", "--until-decided"], "--until-decided: resume=x goes on", "Leave it out"),
    ([*TWO, "algo.max_k=1"], "algo.max_k=1", "Did you mean algo.max_kl?"),
]


@pytest.mark.parametrize(("words", "first", "second"), BAD)
def test_refused(
    words: list[str], first: str, second: str, refused: Callable[[list[str]], str]
) -> None:
    err = refused(words)
    assert first in err and second in err and err.count("\n") == 1 and "Traceback" not in err


def words(folder: str) -> list[str]:
    """Runs of two iterations: TRPO learns a little in them and a step size of 1e-9 nothing."""
    return [*RACE, "algo=vpg", "algo.learning_rate=1e-9,0.05", "total_steps=1024", "threads=1",
            "sampler.num_envs=4", "sampler.steps_per_env=64", "eval.episodes=4", "--max-seeds=8",
            f"hydra.sweep.dir={folder}"]  # fmt: skip


@pytest.mark.slow
def test_a_race_that_is_killed_decides_the_same(tmp_path: Path) -> None:
    code, out, err = finish(start(*words("whole"), cwd=tmp_path), seconds=300)
    assert (code, err) == (0, ""), out
    said = next(line for line in out.splitlines() if line.startswith(("Decided", "Not decided")))
    assert "On CartPole-v1" in said and ", 5 seeds each: learning_rate=1e-09 " in out
    assert "compare:   trpo-compare whole --by algo.learning_rate\n" in out
    process = start(*words("killed"), cwd=tmp_path)
    folder = tmp_path / "killed"
    assert wait_until(process, lambda: (folder / "3" / "metrics.jsonl").exists())
    process.kill()
    finish(process)
    code, out, err = finish(start("resume=killed", cwd=tmp_path), seconds=300)
    assert (code, err) == (0, ""), out
    assert said in out
    code, _, err = finish(start("resume=killed", cwd=tmp_path))
    assert code == 2 and "The race in killed is over." in err
    code, _, err = finish(start("resume=killed", "total_steps=2048", cwd=tmp_path))
    assert code == 2 and "all have the same" in err


@pytest.mark.slow
def test_time_is_over_and_more_is_given(tmp_path: Path) -> None:
    process = start(*words("s"), "--max-hours=0.0006", cwd=tmp_path)  # two seconds
    code, out, err = finish(process, seconds=120)
    assert (code, err) == (0, ""), out
    assert "Not decided: the time of 0.0006 hours is over." in out
    assert "go on:     trpo-run resume=s\n" in out
    assert json.loads((tmp_path / "s/race.json").read_text())["bounds"]["max_hours"] == 0.0006
    began = time.monotonic()
    code, out, err = finish(start("resume=s", "--max-hours=1", cwd=tmp_path), seconds=300)
    assert (code, err) == (0, ""), out
    assert "ecided" in out and "5 seeds each" in out and time.monotonic() - began > 2.0
