"""Runs on native vector environments: resumed exactly, told of, refused before they begin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import running
from tests.support.running import BATCH, finish, result, start
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config.settle import settle
from trpo_cli.distributed.processes import Processes
from trpo_cli.errors import UserError
from trpo_cli.samplers.base import World
from trpo_cli.samplers.single_path import build_trajectories
from trpo_cli.system.machine import usable_cores

NATIVE = "env.vector=native"


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run(tmp_path: Path) -> None:
    """Interrupted after four of eight iterations; and another one than on ordinary environments."""
    settings = [*running.settings("ppo", "CartPole-v1", **{"algo.schedule": "constant"}), NATIVE]
    code, out, err = finish(start(*settings, "hydra.run.dir=a", cwd=tmp_path))
    assert (code, err) == (0, "")
    assert "gymnasium environments (native)" in out
    assert "CartPoleVectorEnv steps all environments, on one random generator" in out
    assert "new episodes" not in out
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert (manifest["backend"], manifest["vector"]) == ("gymnasium", "native")
    cut = [word for word in settings if not word.startswith("total_steps")]
    finish(start(*cut, f"total_steps={4 * BATCH}", "hydra.run.dir=b", cwd=tmp_path))
    code, _, err = finish(start("resume=b", f"total_steps={8 * BATCH}", cwd=tmp_path))
    assert (code, err) == (0, "")
    whole, resumed = result(tmp_path / "a"), result(tmp_path / "b")
    assert resumed["metrics"] == whole["metrics"] and len(whole["metrics"]) == 8
    assert any(row["train/episodes"] for row in whole["metrics"])
    code, _, err = finish(start("resume=b", "env.workers=2", cwd=tmp_path))
    assert code == 2 and "env.workers=2 cannot be combined with env.vector=native" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("env=MountainCar-v0", "env=MountainCar-v0 registers no vector environment."),
        ("env=Hopper-v4", "env.vector=native is for environments that run through Gymnasium"),
        ("env=CartPole-v1 env.workers=2", "env.workers=2 cannot be combined with"),
        ("env=CartPole-v1 env.wrappers=[NormalizeReward]", "env.wrappers=['NormalizeReward']: a"),
        ("env=CartPole-v1 sampler=vine", "cannot be used with sampler=vine: the environments"),
        ("env=CartPole-v1 algo=es", "cannot be used with sampler=perturbations"),
        ("env=CartPole-v1 sampler.groups=2", "it is read where env.vector is not native."),
    ],
)
def test_refusals(words: str, told: str, refused: Callable[[list[str]], str]) -> None:
    err = " ".join(refused([NATIVE, *words.split()]).split())
    assert told in err and err.count("trpo-run:") == 1


def test_several_processes_are_refused() -> None:
    config = config_of("env=CartPole-v1", NATIVE)
    with pytest.raises(UserError, match="runs in one process, and there are 2"):
        build_trajectories(config, World(1, processes=Processes(rank=0, count=2)))


def test_one_group_whatever_the_default() -> None:
    sampler, _ = build_trajectories(config_of("env=CartPole-v1", NATIVE), World(1, threads=2))
    assert [simulator.num_envs for simulator in sampler.simulators] == [16]


def test_what_the_other_choices_come_to() -> None:
    def settled(*words: str) -> tuple[str, int]:
        env = settle(config_of("env=CartPole-v1", *words), images=False).env
        return env.stepped, env.workers

    every = min(usable_cores(), 16)
    assert settled() == ("serial", 0)
    assert settled("env.workers=3") == ("workers", 3)
    assert settled("env.vector=workers") == ("workers", every)
    assert settled("env.vector=workers", "env.workers=3") == ("workers", 3)
    assert settled("env.vector=serial") == ("serial", 0)
    assert settled(NATIVE) == ("native", 0)
