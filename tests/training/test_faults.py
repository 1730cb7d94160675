"""Faults injected into a run: what is refused, what is said, what is left on the disk."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support import faulty_envs, running
from tests.support.failing import fail
from tests.support.running import BATCH, RULES, lines, status
from trpo_cli.algos.trpo import TRPO
from trpo_cli.config import config_from_yaml
from trpo_cli.config.settle import settle
from trpo_cli.data.records import Trajectories
from trpo_cli.errors import RunFailed
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.policy import Policy
from trpo_cli.models.value import Value
from trpo_cli.runs import checkpoint
from trpo_cli.samplers.single_path_sampler import SinglePathSampler
from trpo_cli.system.signals import Interrupted
from trpo_cli.training import trainers as training_module
from trpo_cli.training.guards import check_learned, check_trajectories, finite
from trpo_cli.training.loop import train
from trpo_cli.training.trainer import Training

ENV = "Faulty/Faulty-v0"
assert faulty_envs.REPAIRED is False


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def faulty(kind: str, at: int, rule: str = "trpo", /, **changes: Any) -> Any:
    """A run whose every environment fails at its step `at`; an iteration is 32 steps of each."""
    kwargs = {"+env.kwargs.kind": kind, "+env.kwargs.at": at}
    return running.config(rule, ENV, **{"eval.every": 0, "eval.episodes": 0, **kwargs, **changes})


class TestNotFinite:
    @pytest.mark.parametrize(
        ("kind", "at", "what", "step"),
        [
            # The third iteration begins at step 256; what step 68 returns is seen before step 69.
            ("observation", 68, "observation[2] is nan", 256 + 4 * 4 + 1),
            ("observation", 96, "last observation[2] is nan", 256 + 31 * 4 + 1),
            ("final", 68, "final observation[2] is nan", 256 + 3 * 4 + 1),
            ("reward", 68, "reward is inf", 256 + 3 * 4 + 1),
            ("huge", 68, "reward is inf", 256 + 3 * 4 + 1),
        ],
    )
    @pytest.mark.filterwarnings("ignore:overflow")
    def test_stops_the_run(self, tmp_path: Path, kind: str, at: int, what: str, step: int) -> None:
        config = faulty(kind, at)
        message = fail(config, tmp_path)
        crash, good = (
            tmp_path / f"crash_{2 * BATCH}",
            tmp_path / "checkpoints" / f"step_{2 * BATCH}",
        )
        for part in (what, "environment 0", f"environment step {step} ", str(crash), str(good)):
            assert part in message
        assert f"trpo-run resume={tmp_path} goes on from step 256" in message
        assert len(lines(tmp_path / "metrics.jsonl")) == 2
        assert checkpoint.latest(tmp_path) == good
        tensors, _ = checkpoint.load(good)
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())

        fault = json.loads((crash / "fault.json").read_text())
        assert (fault["environment"], fault["at_step"]) == (0, step)
        assert (fault["step"], fault["iteration"], fault["checkpoint"]) == (256, 3, "step_256")
        assert fault["what"] == what.partition(" is ")[0]
        assert config_from_yaml((crash / "config.yaml").read_text()) == settle(config, images=False)
        batch = load_file(crash / "batch.safetensors")
        assert batch["observations"].shape == (32, 4, 3) and batch["actions"].shape == (32, 4, 2)
        assert not all(np.isfinite(array).all() for array in batch.values())

    @pytest.mark.parametrize("rule", RULES)
    def test_the_batch_reaches_nothing(self, rule: str) -> None:
        training = Training(faulty("observation", 40, rule))
        training.iterate()
        before = {k: np.array(v) for k, v in training.state()[0].items() if "sampler" not in k}
        with pytest.raises(RunFailed):
            training.iterate()
        after = training.state()[0]
        for key, array in before.items():
            np.testing.assert_array_equal(array, after[key], err_msg=key)
        assert (training.step, training.iteration) == (BATCH, 1)

    def test_an_action(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A policy ruined by something that is none of its update rule's business."""
        check = training_module.check_learned

        def ruin(policy: Policy, *args: Any) -> None:
            check(policy, *args)
            assert isinstance(policy.normalizer, Normalizer)
            policy.normalizer._scale[:] = np.nan

        monkeypatch.setattr(training_module, "check_learned", ruin)
        message = fail(running.config(), tmp_path)
        assert "action[0] is nan" in message and "environment 0" in message

    @pytest.mark.parametrize("env", ["Hopper-v4", "CartPole-v1"])
    def test_poisoned_parameters(self, env: str) -> None:
        training = Training(running.config("ppo", env))
        training.iterate()
        training.policy.parameters[:] = np.nan
        with pytest.raises(RunFailed, match="not finite"):
            training.iterate()

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_values_that_overflow(self) -> None:
        training = Training(running.config("ppo"))
        training.iterate()
        assert isinstance(training.value, Value)
        training.value._std = 1e300
        with pytest.raises(RunFailed, match="returns are not finite after 128 environment steps"):
            training.iterate()

    @pytest.mark.parametrize("key", ["value/loss", "policy/kl"])
    def test_a_loss(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        target, name = (Value, "fit") if key == "value/loss" else (TRPO, "update")
        real = getattr(target, name)
        monkeypatch.setattr(target, name, lambda *a: {**real(*a), key: float("nan")})
        message = fail(running.config(), tmp_path)
        assert f"{key} is nan after step 128" in message
        assert "No checkpoint was written" in message
        batch = load_file(tmp_path / "crash_0" / "batch.safetensors")
        assert {"observations", "actions", "advantages", "returns", "rewards"} <= set(batch)

    def test_an_evaluation(self, tmp_path: Path) -> None:
        """Four steps of training, ten of evaluation."""
        few = {"sampler.steps_per_env": 4, "value.minibatch_size": 16, "total_steps": 16}
        message = fail(faulty("reward", 7, **few, **{"eval.episodes": 2}), tmp_path)
        assert "episode 0 of the evaluation (seed " in message and "return of inf" in message
        assert checkpoint.latest(tmp_path).name == "step_16"

    def test_after_a_resumption(self, tmp_path: Path) -> None:
        config = faulty("reward", 68)
        fail(config, tmp_path)
        message = fail(config, tmp_path, resume=True)  # its environments begin anew
        assert "reward is inf" in message and str(tmp_path / "crash_512") in message
        assert len(lines(tmp_path / "metrics.jsonl")) == 4

    def test_a_sum_that_overflows_is_no_fault(self) -> None:
        assert finite(np.full(10, 3e38, dtype=np.float32))
        assert not finite(np.array([np.inf, -np.inf]))
        assert not finite(np.array([1.0, np.nan]))

    def test_the_earliest_is_named(self) -> None:
        """Not the first array's: an observation may be the consequence."""
        ones = np.ones((4, 2), dtype=np.float32)
        rewards, observations = ones.copy(), np.ones((4, 2, 3), dtype=np.float32)
        rewards[1, 1], observations[2:, 1] = np.nan, np.nan
        off = np.zeros((4, 2), dtype=bool)
        nothing = np.empty((0, 3), dtype=np.float32)
        record = Trajectories(
            observations, ones[..., None], rewards, off, off, np.empty((0, 2), dtype=np.int64),
            nothing, observations[-1], [], [],
        )  # fmt: skip
        policy = type("Policy", (), {"parameters": np.ones(3)})
        with pytest.raises(RunFailed, match=r"reward of environment 1.* environment step 1,004 "):
            check_trajectories(record, policy, 1000)

    def test_a_healthy_update_passes(self) -> None:
        part = type("Part", (), {"parameters": np.ones(3)})
        check_learned(part, part, {"policy/kl": 0.0, "value/loss": None}, 1)


class TestEnvironmentRaises:
    @pytest.mark.parametrize(
        ("kind", "at", "call"), [("raise", 68, "step"), ("reset", 70, "reset")]
    )
    def test_stops_the_run(self, tmp_path: Path, kind: str, at: int, call: str) -> None:
        message = fail(faulty(kind, at), tmp_path)
        words = "out of batteries" if kind == "raise" else "the door is locked"
        assert f"environment 0 raised in {call}() at step {at}" in message
        assert f"RuntimeError: {words}. The last good checkpoint is " in message
        crash = tmp_path / "crash_256"
        assert str(crash) in message
        batch = load_file(crash / "batch.safetensors")
        done = at - 64 - 1  # whole steps of the third batch
        assert batch["observations"].shape[0] == batch["actions"].shape[0] == done + 1
        assert batch["rewards"].shape[0] == done
        assert words.split()[-1] in (crash / "traceback.txt").read_text()

    def test_its_number_counts_over_groups(self) -> None:
        changes = {"sampler.groups": 2, "threads": 1}
        training = Training(faulty("", 0, **changes))
        env = training.sampler.simulators[1]._envs[1]  # type: ignore[attr-defined]
        env.unwrapped._kind, env.unwrapped._at = "raise", 3
        with pytest.raises(RunFailed, match="environment 3 raised in step"):
            training.iterate()

    def test_the_checkpoint_before_it_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here after a repair."""
        config = faulty("raise", 68)
        fail(config, tmp_path)
        before = lines(tmp_path / "metrics.jsonl")
        monkeypatch.setattr(faulty_envs, "REPAIRED", True)
        train(config, tmp_path, ["trpo-run"], resume=True)
        assert status(tmp_path) == ("finished", None)
        assert lines(tmp_path / "metrics.jsonl")[:2] == before
        assert len(lines(tmp_path / "metrics.jsonl")) == 8


def test_an_error_of_the_programme_leaves_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a\nbug")

    monkeypatch.setattr(TRPO, "update", broken)
    message = fail(running.config(), tmp_path)
    assert "failed with ZeroDivisionError: a bug" in message
    assert "in broken" in (tmp_path / "crash_0" / "traceback.txt").read_text()


class TestFailedSimulations:
    def test_are_counted_across_a_resumption(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Simulation 1 of 4 becomes unstable once in every batch."""
        collect, calls = SinglePathSampler.collect, [0]

        def unstable(sampler: SinglePathSampler, *args: Any) -> Any:
            calls[0] += 1
            if calls[0] == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            simulator: Any = sampler.simulators[0]
            simulator.simulations.state[1] = 1e12
            return collect(sampler, *args)

        monkeypatch.setattr(SinglePathSampler, "collect", unstable)
        config = running.config()
        with pytest.raises(Interrupted):
            train(config, tmp_path, ["trpo-run"])
        assert "failed simulations: 5 training episodes" in capsys.readouterr().out
        train(config, tmp_path, ["trpo-run"], resume=True)
        assert "failed simulations: 8 training episodes" in capsys.readouterr().out
        failed = [row["train/failed_simulations"] for row in lines(tmp_path / "metrics.jsonl")]
        assert failed == [1] * 8

    def test_are_not_spoken_of_when_there_are_none(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        train(running.config(**{"total_steps": BATCH}), tmp_path, ["trpo-run"])
        assert "failed simulations" not in capsys.readouterr().out
        assert lines(tmp_path / "metrics.jsonl")[0]["train/failed_simulations"] == 0


class TestSignals:
    """SIGTERM within each phase of an iteration: it ends, is saved, and the run is resumed."""

    @pytest.mark.parametrize(
        ("target", "name"),
        [
            (SinglePathSampler, "collect"),
            (training_module, "Estimation"),
            (TRPO, "update"),
            (Value, "fit"),
            (Normalizer, "update"),
        ],
    )
    def test_then_resumed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any, name: str
    ) -> None:
        config = running.config(**{"eval.every": 0, "eval.episodes": 0})
        real, calls = getattr(target, name), [0]

        def interrupted(*args: Any, **settings: Any) -> Any:
            calls[0] += 1
            if calls[0] == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(*args, **settings)

        monkeypatch.setattr(target, name, interrupted)
        folder, other = tmp_path / "a", tmp_path / "b"
        folder.mkdir()
        other.mkdir()
        with pytest.raises(Interrupted, match="SIGTERM"):
            train(config, folder, ["trpo-run"])
        assert checkpoint.latest(folder).name == f"step_{4 * BATCH}"
        train(config, folder, ["trpo-run"], resume=True)
        train(config, other, ["trpo-run"])
        rows = [[running.untimed(r) for r in lines(x / "metrics.jsonl")] for x in (folder, other)]
        assert rows[0] == rows[1]
