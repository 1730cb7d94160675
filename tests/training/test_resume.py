"""A run that was interrupted and resumed is the run that was never interrupted, to the bit."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running, toys
from tests.support.running import (
    BATCH,
    RULES,
    check_same,
    interrupt_at,
    lines,
    result,
    status,
    untimed,
)
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import Config, EvalConfig
from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint, manifest
from trpo_cli.runs.event_file import events_files
from trpo_cli.system.signals import Interrupted
from trpo_cli.training.evaluation import Evaluator
from trpo_cli.training.loop import train
from trpo_cli.training.session import Session
from trpo_cli.training.trainer import Training

ENVS = ("Hopper-v4", "CartPole-v1")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk has when the power fails is not the subject here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def iterate(training: Training, count: int) -> list[dict[str, Any]]:
    return [untimed(training.iterate()) for _ in range(count)]


def same_arrays(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert np.asarray(a[key]).dtype == np.asarray(b[key]).dtype, key
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


class TestState:
    @pytest.mark.parametrize("env", ENVS)
    @pytest.mark.parametrize("rule", RULES)
    def test_a_new_training_goes_on_exactly(self, tmp_path: Path, rule: str, env: str) -> None:
        config = running.config(rule, env)
        whole = Training(config)
        expected = iterate(whole, 8)

        first = Training(config)
        rows = iterate(first, 3)
        checkpoint.save(tmp_path / "step_1", *first.state())
        rows += iterate(first, 1)  # saving changed nothing, and what follows is not in the file

        second = Training(config)
        assert second.load_state(*checkpoint.load(tmp_path / "step_1")) == ""
        assert rows[:3] + iterate(second, 5) == expected
        assert rows == expected[:4]
        same_arrays(second.state()[0], whole.state()[0])
        assert second.state()[1].items() >= {
            (k, v) for k, v in whole.state()[1].items() if k in ("step", "iteration")
        }
        assert second.state()[1]["generators"] == whole.state()[1]["generators"]

    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("vpg", {"advantage": "average_baseline", "value": "none", "discount": 0.9}),
            ("ppo", {"advantage": "total_return", "advantage.discount_states": "true"}),
            ("npg", {"advantage": "q_value", "algo.fisher": "empirical"}),
            ("ppo", {"algo.schedule": "adaptive", "advantage.scale_rewards": "true"}),
            ("ppo", {"env": "Pendulum-v1", "sampler.noise_beta": 1.0}),
            ("trpo", {"env": "Pendulum-v1", "sampler.reuse": 3, "advantage.scale_rewards": "true"}),
            ("ppo", {"sampler.reuse": 4, "advantage.discount_states": "true"}),
            ("ppo", {"algo.recompute_advantages": "true", "advantage.scale_rewards": "true"}),
            ("trpo", {"env": "Pendulum-v1", "policy.log_std": "state", "value.layer_norm": "true"}),
        ],
    )
    def test_estimators_go_on_exactly(
        self, tmp_path: Path, rule: str, changes: dict[str, Any]
    ) -> None:
        found = running.settings(rule, "CartPole-v1", **changes)
        if changes.get("value") == "none":
            found = [s for s in found if not s.startswith("value.")]
        whole, first, second = (Training(config_of(*found)) for _ in range(3))
        expected = iterate(whole, 6)
        iterate(first, 3)
        checkpoint.save(tmp_path / "step_1", *first.state())
        assert second.load_state(*checkpoint.load(tmp_path / "step_1")) == ""
        assert iterate(second, 3) == expected[3:]
        same_arrays(second.state()[0], whole.state()[0])

    def test_running_episodes_and_recent_returns_go_on(self, tmp_path: Path) -> None:
        first = Training(running.config(env="CartPole-v1"))
        iterate(first, 2)
        arrays, state = first.state()
        assert arrays["sampler/lengths"].any() and state["recent"]
        assert arrays["sampler/observations/0"].dtype == np.float32  # CartPole's own
        assert Training(first.config).state()[0].keys() == arrays.keys()

    def test_every_generator_of_the_training_is_in_the_state(self) -> None:
        training = Training(running.config())
        kept = {name for name, value in vars(training).items() if "generator" in str(type(value))}
        assert kept == set() and training.state()[1]["generators"].keys() == {
            "action_noise",
            "policy_minibatches",
            "value_minibatches",
            "restarts",
            "branching",
        }

    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"env": "Walker2d-v4"}, "env.id is Hopper-v4 there and Walker2d-v4 here"),
            ({"algo": "ppo"}, "algo.name is trpo there and ppo here"),
            ({"seed": 4}, "seed is 3 there and 4 here"),
            ({"policy.hidden_sizes": "[8]"}, "policy.hidden_sizes"),
            ({"discount": 0.5}, "discount is 0.99 there and 0.5 here"),
            ({"sampler.num_envs": 2}, "sampler.num_envs"),
        ],
    )
    def test_another_runs_state_is_refused(self, changes: dict[str, Any], key: str) -> None:
        state = Training(running.config()).state()
        with pytest.raises(UserError, match=key.replace("[", r"\[")):
            Training(running.config(**changes)).load_state(*state)

    def test_what_may_change_is_no_obstacle(self) -> None:
        state = Training(running.config()).state()
        changes = {"total_steps": 10**6, "threads": 2, "debug": "true", "checkpoint.keep": 9}
        Training(running.config(**changes)).load_state(*state)

    @pytest.mark.parametrize("missing", ["policy/parameters", "algo/adam/first", "sampler/returns"])
    def test_a_state_with_a_part_missing_is_refused(self, missing: str) -> None:
        arrays, state = Training(running.config("ppo")).state()
        del arrays[missing]
        with pytest.raises(UserError, match="does not fit"):
            Training(running.config("ppo")).load_state(arrays, state)


class TestRestart:
    """An environment whose state cannot be saved."""

    @pytest.fixture(autouse=True)
    def remembers_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from trpo_cli.simulators.mujoco import simulator as mujoco

        monkeypatch.setattr(mujoco.MujocoSimulator, "why_not_restorable", "it remembers everything")

    def test_the_banner_and_the_resumption_say_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt_at(monkeypatch, Training, "iterate", 3)
        with pytest.raises(Interrupted):
            train(running.config(), tmp_path, ["trpo-run"])
        assert capsys.readouterr().out.count("it remembers everything") == 1
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        out = capsys.readouterr().out
        assert "new episodes were started everywhere: it remembers everything" in out
        rows = lines(tmp_path / "metrics.jsonl")
        assert [row["step"] for row in rows] == [BATCH * i for i in range(1, 9)]

    def test_episodes_start_from_a_stream_that_goes_on(self) -> None:
        first = Training(running.config())
        iterate(first, 2)
        arrays, state = first.state()
        assert not [key for key in arrays if key.startswith("sampler/simulator")]
        second, third = Training(first.config), Training(first.config)
        assert "everything" in second.load_state(arrays, state)
        third.load_state(arrays, state)
        restarted = second.state()
        same_arrays(restarted[0], third.state()[0])  # the same moment, the same new episodes
        assert not restarted[0]["sampler/lengths"].any()
        fourth = Training(first.config)
        fourth.load_state(*restarted)
        observations = "sampler/observations/0"
        assert (fourth.state()[0][observations] != restarted[0][observations]).any()

    def test_a_restore_that_fails_restarts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from trpo_cli.simulators.mujoco import simulator as mujoco

        monkeypatch.setattr(mujoco.MujocoSimulator, "why_not_restorable", "")
        first = Training(running.config())

        def fail(*_: Any) -> None:
            raise UserError("another future.")

        monkeypatch.setattr(mujoco.MujocoSimulator, "restore", fail)
        assert Training(first.config).load_state(*first.state()) == "another future"


class TestInterrupted:
    """Signals at chosen moments, in this process."""

    @pytest.mark.parametrize(
        ("target", "name", "call"),
        [
            (Training, "iterate", 1),
            (Training, "iterate", 5),
            (Training, "iterate", 8),  # the last one
            (Evaluator, "run", 1),
            (Evaluator, "run", 2),
            (Evaluator, "run", 3),  # the last policy's
            (Evaluator, "run_best", 1),
            (checkpoint, "save", 1),
            (checkpoint, "save", 4),
            (checkpoint, "point", 2),
            (checkpoint, "prune", 3),
            (Session, "conclude", 1),
        ],
    )
    def test_then_resumed(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        reference: Callable[..., Any],
        target: Any,
        name: str,
        call: int,
    ) -> None:
        config = running.config()
        before = signal.getsignal(signal.SIGTERM)
        interrupt_at(monkeypatch, target, name, call)
        with pytest.raises(Interrupted, match="SIGTERM") as caught:
            train(config, tmp_path, ["trpo-run"])
        assert caught.value.exit_status == 143
        assert signal.getsignal(signal.SIGTERM) is before
        assert status(tmp_path) == ("interrupted", "SIGTERM")
        step = json.loads((tmp_path / "manifest.json").read_text())["step"]
        assert checkpoint.latest(tmp_path).name == f"step_{step}"
        assert len(lines(tmp_path / "metrics.jsonl")) == step // BATCH
        train(config, tmp_path, ["trpo-run", "resume"], resume=True)
        check_same(tmp_path, reference(config))

    def test_the_manifest_lists_resumptions(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        interrupt_at(monkeypatch, Training, "iterate", 2)
        with pytest.raises(Interrupted):
            train(running.config(), tmp_path, ["trpo-run"])
        train(running.config(), tmp_path, ["trpo-run", "resume=here"], resume=True)
        content = json.loads((tmp_path / "manifest.json").read_text())
        assert (content["status"], content["step"]) == ("finished", 8 * BATCH)
        assert content["command"] == "trpo-run"
        (entry,) = content["resumed"]
        assert (entry["step"], entry["command"]) == (2 * BATCH, "trpo-run resume=here")
        assert entry["versions"] == content["versions"]

    def test_a_second_ctrl_c_stops_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Callable[..., Any]
    ) -> None:
        """Here while a checkpoint is being written: the one before stays whole."""
        real = checkpoint.write_durably

        def twice(path: Path, data: bytes) -> None:
            if "step_384" in str(path):
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            real(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "write_durably", twice)
            with pytest.raises(Interrupted, match="SIGINT"):
                train(running.config(), tmp_path, ["trpo-run"])
        assert status(tmp_path) == ("interrupted", "SIGINT")
        assert checkpoint.latest(tmp_path).name == "step_256"
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        check_same(tmp_path, reference(running.config()))


class Killed(BaseException):
    """Stands for SIGKILL: from then on the process writes nothing."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """Die right before the n-th change of a file or folder; returns the counter of changes."""
    names = [
        *((os, name) for name in ("replace", "rename", "symlink", "write", "mkdir", "unlink")),
        (shutil, "rmtree"),
        (checkpoint, "write_durably"),
    ]
    patches = []

    def install(moment: int) -> list[int]:
        patch = pytest.MonkeyPatch()
        patches.append(patch)
        changes = [0]

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                changes[0] += 1
                if changes[0] > moment:
                    raise Killed
                return real(*args, **kwargs)

            return call

        for target, name in names:
            patch.setattr(target, name, dying(getattr(target, name)))
        return changes

    def undo() -> None:
        while patches:
            patches.pop().undo()

    install.undo = undo  # type: ignore[attr-defined]
    yield install
    undo()


class TestKilled:
    """Every change of the disk is a moment at which a run can die."""

    @pytest.fixture
    def small(self) -> Config:
        settings = {"total_steps": 4 * BATCH, "eval.every": 2 * BATCH, "eval.episodes": 2}
        return running.config(**settings, **{"checkpoint.keep": 1})

    def die(self, config: Config, folder: Path, kill_at: Any, moment: int, resume: bool) -> int:
        changes = kill_at(moment)
        try:
            train(config, folder, ["trpo-run"], resume=resume)
        except Killed:
            pass
        finally:
            kill_at.undo()
        return changes[0]

    @pytest.mark.parametrize(
        "part",
        [pytest.param(part, marks=pytest.mark.slow if part % 2 else ()) for part in range(4)],
    )
    def test_while_running(
        self, tmp_path: Path, kill_at: Any, small: Config, reference: Callable[..., Any], part: int
    ) -> None:
        expected = reference(small)
        folder = tmp_path / "count"
        folder.mkdir()
        changes = self.die(small, folder, kill_at, 10**9, False)
        assert changes > 60
        for moment in range(2 + part, changes, 4 * 3):
            folder = tmp_path / str(moment)
            folder.mkdir()
            self.die(small, folder, kill_at, moment, False)
            if not (folder / "config.yaml").exists():
                continue  # nothing that could be lost
            train(small, folder, ["trpo-run"], resume=True)
            check_same(folder, expected)

    @pytest.mark.parametrize("back", [12, pytest.param(30, marks=pytest.mark.slow)])
    def test_while_resuming(
        self, tmp_path: Path, kill_at: Any, small: Config, reference: Callable[..., Any], back: int
    ) -> None:
        """Also: killed again and again at the first changes of each resumption."""
        expected = reference(small)
        template = tmp_path / "template"
        template.mkdir()
        changes = self.die(small, template, kill_at, 10**9, False)
        killed = tmp_path / "killed"
        killed.mkdir()
        self.die(small, killed, kill_at, changes - back, False)
        with open(killed / "metrics.jsonl", "ab") as file:
            file.write(b'{"step": 51')  # a row that was being written
        with open(events_files(killed)[0], "ab") as file:
            file.write(b"\x20\x00\x00")
        for moment in range(14):
            folder = tmp_path / str(moment)
            shutil.copytree(killed, folder, symlinks=True)
            self.die(small, folder, kill_at, moment, True)
            self.die(small, folder, kill_at, moment + 3, True)
            if status(folder)[0] != "finished":
                train(small, folder, ["trpo-run"], resume=True)
            check_same(folder, expected)


class TestResume:
    def test_a_damaged_newest_checkpoint_falls_back(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        reference: Callable[..., Any],
    ) -> None:
        with monkeypatch.context() as patch:
            interrupt_at(patch, Training, "iterate", 6)
            with pytest.raises(Interrupted):
                train(running.config(), tmp_path, ["trpo-run"])
        newest = checkpoint.latest(tmp_path)
        data = bytearray((newest / "tensors.safetensors").read_bytes())
        data[-1] ^= 1
        (newest / "tensors.safetensors").write_bytes(data)
        capsys.readouterr()
        train(running.config(), tmp_path, ["trpo-run"], resume=True)
        captured = capsys.readouterr()
        assert newest.name in captured.err and "older" in captured.err
        assert f"resumed at step {5 * BATCH}" in captured.out
        check_same(tmp_path, reference(running.config()))

    def test_no_whole_checkpoint_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train(running.config(), tmp_path, ["trpo-run"])
        for path in (tmp_path / "checkpoints").glob("step_*/state.json"):
            path.write_text("{}")
        with pytest.raises(UserError, match="no whole checkpoint"):
            train(running.config(), tmp_path, ["trpo-run"], resume=True)

    def test_a_newer_format_is_not_damage(self, tmp_path: Path) -> None:
        train(running.config(), tmp_path, ["trpo-run"])
        index = checkpoint.latest(tmp_path) / "index.json"
        index.write_text(json.dumps({**json.loads(index.read_text()), "format": 99}))
        with pytest.raises(UserError, match="newer trpo-cli"):
            train(running.config(), tmp_path, ["trpo-run"], resume=True)

    def test_a_finished_run_wants_more_steps(
        self, tmp_path: Path, reference: Callable[..., Any]
    ) -> None:
        """And then is the run that had them from the start, as nothing follows a schedule here."""
        train(running.config(), tmp_path, ["trpo-run"])
        with pytest.raises(UserError, match=r"is finished.*larger total_steps"):
            train(running.config(), tmp_path, ["trpo-run"], resume=True)
        with pytest.raises(UserError, match="lies behind"):
            train(running.config(total_steps=3 * BATCH), tmp_path, ["trpo-run"], resume=True)
        longer = running.config(total_steps=11 * BATCH)
        train(longer, tmp_path, ["trpo-run"], resume=True)
        check_same(tmp_path, reference(longer))
        assert "total_steps: 1408" in (tmp_path / "config.yaml").read_text()

    def test_missing_rows_are_an_error(self, tmp_path: Path) -> None:
        train(running.config(), tmp_path, ["trpo-run"])
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
        with pytest.raises(UserError, match="1 of the 8 rows"):
            train(running.config(total_steps=10**4), tmp_path, ["trpo-run"], resume=True)
        assert status(tmp_path) == ("finished", None)

    def test_a_refused_resumption_changes_nothing(self, tmp_path: Path) -> None:
        train(running.config(), tmp_path, ["trpo-run"])

        def contents() -> dict[Path, bytes]:
            files = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]
            return {p: p.read_bytes() for p in files}

        before = contents()
        for other in (running.config(), running.config("ppo"), running.config(seed=9)):
            with pytest.raises(UserError):
                train(other, tmp_path, ["trpo-run"], resume=True)
        assert contents() == before

    def test_changed_versions_are_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        train(running.config(), tmp_path, ["trpo-run"])
        content = manifest.read(tmp_path)
        content["versions"]["numpy"] = "1.0"
        manifest.Manifest(tmp_path, content).write()
        train(running.config(total_steps=9 * BATCH), tmp_path, ["trpo-run"], resume=True)
        assert "instead of 1.0" in capsys.readouterr().out

    def test_what_trpo_eval_wrote_stays(self, tmp_path: Path) -> None:
        from trpo_cli.commands.evaluate import main

        train(running.config(), tmp_path, ["trpo-run"])
        assert main([str(tmp_path), "--episodes", "2", "--deterministic"]) == 0
        train(running.config(total_steps=9 * BATCH), tmp_path, ["trpo-run"], resume=True)
        assert [row["deterministic"] for row in lines(tmp_path / "eval.jsonl")].count(True) == 1


class TestCheckpoints:
    def test_by_time(self, tmp_path: Path, reference: Callable[..., Any]) -> None:
        """After every iteration, when the time is as short; and the numbers are the same."""
        changes = {"checkpoint.every": 0, "checkpoint.minutes": 1e-9, "checkpoint.keep": 100}
        train(running.config(**changes), tmp_path, ["trpo-run"])
        folders = sorted(p.name for p in (tmp_path / "checkpoints").glob("step_*"))
        assert folders == sorted(f"step_{BATCH * i}" for i in range(1, 9))
        assert result(tmp_path)["metrics"] == reference(running.config())["metrics"]

    def test_neither_leaves_the_last_one(self, tmp_path: Path) -> None:
        changes = {"checkpoint.every": 0, "checkpoint.minutes": 0, "eval.every": 0}
        train(running.config(**changes), tmp_path, ["trpo-run"])
        assert [p.name for p in (tmp_path / "checkpoints").glob("step_*")] == [f"step_{8 * BATCH}"]

    def test_the_best_is_kept_and_evaluated_again_on_fresh_seeds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        returns = iter([5.0, 9.0, 7.0, 9.0])
        real = Evaluator.run

        def run(self: Evaluator, policy: Any, step: int, *args: Any, **kwargs: Any) -> Any:
            record = real(self, policy, step, *args, **kwargs)
            return record if args else {**record, "return_mean": next(returns)}

        monkeypatch.setattr(Evaluator, "run", run)
        config = running.config(**{"eval.every": 2 * BATCH, "checkpoint.keep": 1})
        train(config, tmp_path, ["trpo-run"])
        names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
        assert names == ["best", "last", "step_1024", "step_512"]
        assert (tmp_path / "checkpoints" / "best").resolve().name == "step_512"
        *ordinary, again = lines(tmp_path / "eval.jsonl")
        assert [row["step"] for row in ordinary] == [256, 512, 768, 1024]
        assert (again["step"], again["checkpoint"]) == (512, "best")
        assert not set(again["seeds"]) & set(ordinary[0]["seeds"])
        assert all("checkpoint" not in row for row in ordinary)

    def test_without_evaluations_in_training_there_is_no_best(self, tmp_path: Path) -> None:
        train(running.config(**{"eval.every": 0}), tmp_path, ["trpo-run"])
        assert [row["step"] for row in lines(tmp_path / "eval.jsonl")] == [8 * BATCH]
        assert not (tmp_path / "checkpoints" / "best").exists()

    def test_a_new_interval_begins_at_the_resumption(self, tmp_path: Path) -> None:
        train(running.config(**{"eval.every": 0}), tmp_path, ["trpo-run"])
        longer = running.config(total_steps=12 * BATCH)
        longer = dataclasses.replace(longer, eval=EvalConfig(every=3 * BATCH, episodes=3))
        train(longer, tmp_path, ["trpo-run"], resume=True)
        steps = [row["step"] for row in lines(tmp_path / "eval.jsonl") if "checkpoint" not in row]
        assert steps == [9 * BATCH, 12 * BATCH]


def test_any_action_space_and_observation(tmp_path: Path) -> None:
    for env in toys.SPACES:
        folder = tmp_path / env.replace("/", "_")
        folder.mkdir()
        first = Training(running.config(env=env))
        iterate(first, 2)
        checkpoint.save(folder / "step_1", *first.state())
        second = Training(first.config)
        second.load_state(*checkpoint.load(folder / "step_1"))
        assert iterate(second, 2) == iterate(first, 2)
