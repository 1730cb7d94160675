"""Whole runs that learn from images: games and a camera, killed and resumed, evaluated."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running, toys
from tests.support.running import (
    check_same,
    count_rows,
    finish,
    interrupt_at,
    lines,
    result,
    start,
    wait_until,
)
from tests.support.small import numpy
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import config_from_yaml
from trpo_cli.data.frames import FrameStacks
from trpo_cli.models import conv
from trpo_cli.models.conv import ConvNet
from trpo_cli.models.linear_value import LinearValue
from trpo_cli.models.pixels import Pixels
from trpo_cli.models.value import Value
from trpo_cli.models.values.shared import SharedValue
from trpo_cli.system.signals import Interrupted
from trpo_cli.training import trainers as training_module
from trpo_cli.training.loop import train
from trpo_cli.training.trainer import Training

BATCH = 16

# A step of learning from a few small frames; one game is enough for the evaluation, cut short.
GAME = {
    "sampler.num_envs": 2,
    "sampler.steps_per_env": 8,
    "sampler.groups": 1,
    "total_steps": 8 * BATCH,
    "checkpoint.every": BATCH,
    "eval.every": 5 * BATCH,
    "eval.episodes": 1,
    "env.max_episode_steps": 20,
    "env.atari.noop_max": 3,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "joint": (
        "ppo",
        {
            "policy": "nature_cnn",
            "policy.precision": "bfloat16",
            "policy.hidden_size": 32,
            "value": "shared",
            "algo.minibatch_size": 8,
            "algo.epochs": 2,
        },
    ),
    "two networks": ("trpo", {"policy": "trpo_cnn", "value": "cnn", "value.minibatch_size": 8}),
    "ridge": ("trpo", {"policy": "trpo_cnn", "value": "shared"}),
}


def settings(kind: str, **changes: Any) -> list[str]:
    rule, own = KINDS[kind]
    chosen: dict[str, Any] = {
        "algo": rule, "env": "ALE/Pong-v5", "seed": 3, "threads": 1, **GAME, **own, **changes,
    }  # fmt: skip
    return [f"{key}={value}" for key, value in chosen.items()]


def kill(run_dir: Path, arguments: list[str], kills: int, seed: int) -> None:
    """SIGKILL at random moments, each time but the last followed by a resumption."""
    generator = random.Random(seed)
    for number in range(kills):
        arguments = [f"resume={run_dir}"] if number else arguments
        process = start(*arguments, cwd=run_dir.parent)
        rows = count_rows(run_dir)
        wanted = rows + generator.randrange(2, 4)

        def reached(wanted: int = wanted) -> bool:
            return count_rows(run_dir) >= wanted

        assert wait_until(process, reached)
        time.sleep(generator.choice([0.0, 0.0, 0.01]))
        process.kill()
        finish(process)


def resume(run_dir: Path) -> None:
    """On to the end, in this process."""
    config = config_from_yaml((run_dir / "config.yaml").read_text())
    train(config, run_dir, ["trpo-run"], resume=True)


class TestGame:
    @pytest.mark.slow
    def test_killed_resumed_and_evaluated(self, tmp_path: Path, capsys: Any) -> None:
        """To the bit as if it had never been interrupted; then trpo-eval."""
        reference, run_dir = tmp_path / "reference", tmp_path / "run"
        reference.mkdir()
        train(config_of(*settings("joint")), reference, ["trpo-run"])
        kill(run_dir, [*settings("joint"), f"hydra.run.dir={run_dir}"], kills=1, seed=1)
        assert (run_dir / "checkpoints").is_dir() and count_rows(run_dir) < 8
        resume(run_dir)
        check_same(run_dir, result(reference))

        rows = lines(run_dir / "metrics.jsonl")
        assert [row["step"] for row in rows] == [BATCH * k for k in range(1, 9)]
        assert all(row["train/length_mean"] in (None, 20.0) for row in rows)
        assert sum(row["train/episodes"] for row in rows) == 2 * (8 * 8 // 20)
        self.check_saved(run_dir, "bfloat16", (None, None))
        capsys.readouterr()
        assert trpo_eval([str(run_dir), "--episodes", "1", "--seed", "5"]) == 0
        assert "deterministic  return 0 ± 0" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "kind", ["two networks", pytest.param("ridge", marks=pytest.mark.slow)]
    )
    def test_interrupted_and_resumed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        changes = {"total_steps": 4 * BATCH, "eval.every": 0}
        reference, run_dir = tmp_path / "reference", tmp_path / "run"
        reference.mkdir()
        run_dir.mkdir()
        config = config_of(*settings(kind, **changes))
        train(config, reference, ["trpo-run"])
        with monkeypatch.context() as context:
            interrupt_at(context, training_module, "Estimation", 2)
            with pytest.raises(Interrupted):
                train(config, run_dir, ["trpo-run"])
        assert count_rows(run_dir) == 2
        resume(run_dir)
        assert result(run_dir)["metrics"] == result(reference)["metrics"]
        assert result(run_dir)["arrays"] == result(reference)["arrays"]
        self.check_saved(run_dir, "float32", (52, 40))

    def check_saved(self, run_dir: Path, precision: str, frame: tuple[Any, Any]) -> None:
        saved = config_from_yaml((run_dir / "config.yaml").read_text())
        assert saved.policy.precision == precision
        assert (saved.env.atari.frame_height, saved.env.atari.frame_width) == frame

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("seed", range(2))
    def test_killed_often(self, tmp_path: Path, kind: str, seed: int) -> None:
        changes = {"total_steps": 40 * BATCH, "threads": 2}
        reference = tmp_path / "reference"
        reference.mkdir()
        train(config_of(*settings(kind, **changes)), reference, ["trpo-run"])
        run_dir = tmp_path / "run"
        arguments = [*settings(kind, **changes), f"hydra.run.dir={run_dir}"]
        kill(run_dir, arguments, kills=4, seed=seed)
        resume(run_dir)
        check_same(run_dir, result(reference))

    def test_learns_from_signs_and_reports_points(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An invader is worth 5 to 30 points, and 1 for learning; a lost life ends the future."""
        seen: list[tuple[Any, Any, Any]] = []
        plain = training_module.Estimation

        def watched(trajectories: Any, *args: Any, **settings: Any) -> Any:
            estimation = plain(trajectories, *args, **settings)
            seen.append((trajectories, estimation.batch(), settings["clip_rewards"]))
            return estimation

        monkeypatch.setattr(training_module, "Estimation", watched)
        changes = {
            "env": "ALE/SpaceInvaders-v5",
            "env.max_episode_steps": 100,
            "sampler.steps_per_env": 100,
            "env.atari.frame_skip": 8,
            "discount": 0.5,
            "advantage.gae_lambda": 1.0,
            "total_steps": 200,
        }
        training = Training(config_of(*settings("ridge", **changes)))
        try:
            row = training.iterate()
        finally:
            training.close()
        ((trajectories, batch, clips),) = seen
        assert clips
        rewards = trajectories.rewards
        assert set(np.unique(rewards)) <= {0, 5, 10, 15, 20, 25, 30, 200} and rewards.max() > 1
        assert row["train/episodes"] == 2  # cut, or the three lives were lost
        assert row["train/return_mean"] == pytest.approx(rewards.sum() / 2)
        # Returns by hand, V being 0 before the first fit.
        assert isinstance(batch.observations, Pixels)
        signs = np.sign(rewards)
        over = trajectories.terminated | trajectories.truncated | trajectories.lives_lost
        assert trajectories.lives_lost.any()
        expected, following = np.zeros_like(signs), np.zeros(2)
        for t in reversed(range(100)):
            following = signs[t] + 0.5 * np.where(over[t], 0.0, following)
            expected[t] = following
        np.testing.assert_allclose(batch.returns, expected.reshape(-1), atol=1e-5)


def memory(process: subprocess.Popen[str]) -> dict[int, int]:
    """Most resident bytes so far of a process and of its children, by their numbers."""
    found = {}
    for pid in [process.pid, *_children(process.pid)]:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                found[pid] = 1024 * int(peak[1])
    return found


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in path.read_text().split()]
    return found + [grandchild for child in found for grandchild in _children(child)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own numbers")
def test_a_game_needs_little_memory(tmp_path: Path) -> None:
    """PPO on Pong as it comes, 8 x 128: processes together, each at its own peak."""
    run_dir = tmp_path / "run"
    arguments = ["algo=ppo", "env=ALE/Pong-v5", "seed=1", "total_steps=3072", "eval.episodes=1"]
    process = start(
        *arguments, "env.max_episode_steps=500", f"hydra.run.dir={run_dir}", cwd=tmp_path
    )
    peaks: dict[int, int] = {}
    while process.poll() is None:
        peaks |= memory(process)
        time.sleep(0.02)
    code, _, err = finish(process)
    assert (code, err) == (0, "") and count_rows(run_dir) == 3
    total = sum(peaks.values())
    print(f"{total / 2**20:.0f} MiB in {len(peaks)} processes, {max(peaks.values()) / 2**20:.0f}")
    assert len(peaks) > 2
    assert total < 1.5e9


class TestCamera:
    """An environment of Gymnasium's kind that shows colour images."""

    def config(self, rule: str, **changes: Any) -> Any:
        chosen: dict[str, Any] = {
            "algo": rule, "env": "tests.support.toys:Toy/Camera-v0", "seed": 1, "threads": 1,
            "sampler.num_envs": 4, "sampler.steps_per_env": 16, "total_steps": 1024,
            "eval.episodes": 2, **changes,
        }  # fmt: skip
        return config_of(*[f"{key}={value}" for key, value in chosen.items()])

    @pytest.mark.parametrize(
        ("rule", "changes", "policy", "value"),
        [
            ("trpo", {}, "trpo_cnn", "cnn"),
            ("npg", {"value": "shared"}, "trpo_cnn", "shared"),
            (
                "ppo",
                {"policy": "trpo_cnn", "algo.learning_rate": 3e-3, "algo.epochs": 4},
                "trpo_cnn",
                "shared",
            ),
        ],
    )
    def test_learns_which_side_is_bright(
        self, tmp_path: Path, rule: str, changes: dict[str, Any], policy: str, value: str
    ) -> None:
        """Chance earns half of the five points of an episode."""
        config = self.config(rule, **changes)
        train(config, tmp_path, ["trpo-run"])
        saved = config_from_yaml((tmp_path / "config.yaml").read_text())
        assert (saved.policy.name, saved.value.name) == (policy, value)
        assert saved.env == config.env
        rows = lines(tmp_path / "metrics.jsonl")
        assert rows[0]["train/return_mean"] < 3.6
        assert rows[-1]["train/return_mean"] > 4.2
        assert lines(tmp_path / "eval.jsonl")[-1]["return_mean"] >= 4.0
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["status"], manifest["backend"]) == ("finished", "gymnasium")

    @pytest.mark.parametrize(
        ("rule", "changes", "value"),
        [
            ("ppo", {"policy": "trpo_cnn", "policy.precision": "bfloat16"}, SharedValue),
            ("vpg", {"policy": "trpo_cnn"}, SharedValue),
            ("ppo", {"policy": "trpo_cnn", "value": "cnn"}, Value),
            ("trpo", {}, Value),
            ("npg", {"value": "shared"}, LinearValue),
        ],
    )
    def test_every_network_moves(self, rule: str, changes: dict[str, Any], value: type) -> None:
        training = Training(self.config(rule, **changes))
        assert type(training.value) is value
        assert isinstance(training.policy.network, ConvNet)
        before = training.policy.parameters.clone()
        first = numpy(training.value.parameters).copy()
        rows = [training.iterate() for _ in range(2)]
        training.close()
        assert (training.policy.parameters != before).any()
        assert value is SharedValue or (numpy(training.value.parameters) != first).any()
        for row in rows:
            assert np.isfinite([v for v in row.values() if isinstance(v, float)]).all()
            assert row["policy/kl"] > 0.0

    def test_is_too_small_for_the_large_network(self) -> None:
        with pytest.raises(Exception, match=r"policy=nature_cnn.*\(3, 20, 24\) are too small"):
            Training(self.config("ppo"))

    def test_a_perceptron_takes_it_as_numbers(self) -> None:
        training = Training(self.config("trpo", policy="mlp"))
        row = training.iterate()
        training.close()
        assert row["policy/kl"] > 0.0
        features = int(np.prod(toys.Camera.observation_space.shape))
        assert len(training.policy.parameters) > 64 * features
        assert training.policy.normalizer.count == 64  # type: ignore[union-attr]

    def test_groups_and_threads_change_nothing(self) -> None:
        results = []
        for changes in ({"sampler.groups": 1}, {"sampler.groups": 2, "threads": 2}):
            training = Training(self.config("trpo", **changes))
            training._trainer._threads = 1  # type: ignore[attr-defined]  # of torch: sums in another order are other numbers
            rows = [running.untimed(training.iterate()) for _ in range(3)]
            training.close()
            results.append(rows)
        assert results[0] == results[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0, 2**30], ids=["frames", "pixels"])
def test_frames_travel_to_the_device_once_an_iteration(
    kind: str, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether policy and V are one network or two, and however many minibatches there are."""
    monkeypatch.setitem(conv.KEEP_BYTES, "cpu", keep)
    travelled: list[Any] = []
    to_device = ConvNet.to_device

    def counted(self: ConvNet, x: Any) -> Any:
        if isinstance(x, FrameStacks) and isinstance(x.planes, np.ndarray):
            travelled.append(x.planes)
        return to_device(self, x)

    monkeypatch.setattr(ConvNet, "to_device", counted)
    training = Training(config_of(*settings(kind)))
    for number in range(1, 3):
        training.iterate()
        assert len(travelled) == number
    training.close()
