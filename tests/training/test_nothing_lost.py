"""Rows, evaluations and checkpoints that were lost or changed: mended where the truth is known,
told where it is not, and nothing is removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.running import BATCH, check_same, interrupt_at, lines, result, status
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.errors import UserError
from trpo_cli.runs import chain, checkpoint, manifest
from trpo_cli.runs.event_file import events_files
from trpo_cli.system.signals import Interrupted
from trpo_cli.training.evaluation import Evaluator
from trpo_cli.training.loop import train
from trpo_cli.training.trainer import Training

COMMAND = ["trpo-run"]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk has when the power fails is not the subject here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def contents(folder: Path) -> dict[Path, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {p.relative_to(folder): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of eight iterations."""
    folder = tmp_path_factory.mktemp("original")
    train(running.config(), folder, COMMAND)
    return folder


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, killed behind its fifth iteration: two rows behind the newest checkpoint."""
    folder = tmp_path_factory.mktemp("halfway")
    with pytest.MonkeyPatch.context() as patch:
        real, rows = Training.iterate, [0]

        def iterate(self: Training) -> Any:
            rows[0] += 1
            if rows[0] == 6:
                raise KeyboardInterrupt
            return real(self)

        patch.setattr(Training, "iterate", iterate)
        patch.setattr(manifest.Manifest, "finish", lambda *_: None)  # it is killed
        with pytest.raises(KeyboardInterrupt):
            train(running.config(**{"checkpoint.every": 3 * BATCH}), folder, COMMAND)
    assert status(folder)[0] == "running"
    assert checkpoint.latest(folder).name == f"step_{3 * BATCH}"
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "run", symlinks=True))


@pytest.fixture
def killed(halfway: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(halfway, tmp_path / "run", symlinks=True))


def refused(folder: Path, words: str, **changes: Any) -> None:
    """A resumption is refused and changes nothing."""
    before = contents(folder)
    with pytest.raises(UserError, match=words):
        train(running.config(**changes), folder, COMMAND, resume=True)
    assert contents(folder) == before


class TestVine:
    """An iteration of the vine has as many steps as its rollouts take."""

    CONFIG = (
        "algo=trpo",
        "sampler=vine",
        "env=CartPole-v1",
        "seed=0",
        "threads=1",
        "total_steps=300",
        "eval.episodes=2",
        "eval.every=0",
    )

    def test_stopped_in_its_last_evaluation(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = config_of(*self.CONFIG)
        with monkeypatch.context() as patch:
            interrupt_at(patch, Evaluator, "run", 1)
            with pytest.raises(Interrupted):
                train(config, tmp_path, COMMAND)
        batch = config.sampler.num_envs * getattr(config.sampler, "steps_per_env", 0)
        assert lines(tmp_path / "metrics.jsonl")[-1]["step"] >= 300 + batch  # the old check's case
        train(config, tmp_path, COMMAND, resume=True)
        assert status(tmp_path) == ("finished", None)
        with pytest.raises(UserError, match="is finished"):
            train(config, tmp_path, COMMAND, resume=True)


class TestMissingCheckpoints:
    def test_of_a_finished_run(self, copy: Path) -> None:
        shutil.rmtree(copy / "checkpoints")
        refused(copy, "has no checkpoint, and its manifest.json knows of one at step 1024")

    def test_of_a_run_that_was_killed(self, killed: Path) -> None:
        shutil.rmtree(killed / "checkpoints")
        refused(killed, "knows of one at step 384")

    def test_of_an_older_run(self, copy: Path) -> None:
        shutil.rmtree(copy / "checkpoints")
        unchain(copy)
        refused(copy, "has no checkpoint")

    def test_before_the_first_one_it_starts_again_and_the_rows_stay_beside(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        reference: Callable[..., Any],
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", no_room)
            with pytest.raises(KeyboardInterrupt):
                train(running.config(), tmp_path, COMMAND)
        rows = (tmp_path / "metrics.jsonl").read_bytes()
        assert rows.count(b"\n") == 1
        train(running.config(), tmp_path, COMMAND, resume=True)
        assert "starts again from its seed" in capsys.readouterr().out
        check_same(tmp_path, reference(running.config()))
        (beside,) = tmp_path.glob("metrics.jsonl.cut-*")
        assert beside.read_bytes() == rows

    def test_rows_without_manifest_and_checkpoint(self, killed: Path) -> None:
        shutil.rmtree(killed / "checkpoints")
        (killed / "manifest.json").unlink()
        refused(killed, "has rows, but neither manifest.json nor a checkpoint")

    def test_the_newest_one(
        self, copy: Path, capsys: pytest.CaptureFixture[str], reference: Callable[..., Any]
    ) -> None:
        shutil.rmtree(copy / "checkpoints" / f"step_{8 * BATCH}")
        train(running.config(), copy, COMMAND, resume=True)
        assert "the checkpoint of step 1,024 is missing" in capsys.readouterr().out
        check_same(copy, reference(running.config()))

    def test_another_runs(self, copy: Path) -> None:
        shutil.rmtree(copy / "checkpoints")
        other = copy.with_name("other")
        train(running.config(), make(other), COMMAND)
        shutil.copytree(other / "checkpoints", copy / "checkpoints", symlinks=True)
        refused(copy, "does not fit its run", total_steps=10 * BATCH)

    def test_a_missing_manifest_is_written_anew(
        self, killed: Path, capsys: pytest.CaptureFixture[str], reference: Callable[..., Any]
    ) -> None:
        (killed / "manifest.json").unlink()
        train(running.config(), killed, COMMAND, resume=True)
        assert "manifest.json was missing and is written anew" in capsys.readouterr().out
        check_same(killed, reference(running.config()))


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def no_room(*_: Any) -> None:
    raise KeyboardInterrupt


def unchain(folder: Path) -> None:
    """Make a run one of an older version, whose rows carry no chain."""
    content = manifest.read(folder)
    for key in ("rows", "config", "checkpoint"):
        content.pop(key, None)
    (folder / "manifest.json").write_text(json.dumps({**content, "format": 1}))
    for name in chain.FILES:
        rows = lines(folder / name)
        text = "".join(
            json.dumps({k: v for k, v in r.items() if k != "chain"}) + "\n" for r in rows
        )
        (folder / name).write_text(text)
    for step in (folder / "checkpoints").glob("step_*"):
        arrays, state = checkpoint.load(step)
        del state["rows"]
        checkpoint.save(step, arrays, state)


class TestOlderRuns:
    def test_what_trpo_eval_added_is_no_reason_to_write_events_again(
        self, copy: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An older version did not mark its lines."""
        unchain(copy)
        last = lines(copy / "eval.jsonl")[-1]
        with open(copy / "eval.jsonl", "a") as file:
            file.write(json.dumps({**last, "deterministic": True}) + "\n")
        train(running.config(total_steps=9 * BATCH), copy, COMMAND, resume=True)
        assert "written again" not in capsys.readouterr().out

    def test_goes_on_without_a_chain_and_says_so(
        self, killed: Path, capsys: pytest.CaptureFixture[str], reference: Callable[..., Any]
    ) -> None:
        unchain(killed)
        train(running.config(), killed, COMMAND, resume=True)
        assert "its rows carry no chain" in capsys.readouterr().out
        check_same(killed, reference(running.config()))
        assert all("chain" not in row for name in chain.FILES for row in lines(killed / name))


class TestRows:
    def test_what_lies_behind_the_checkpoint_is_kept_beside(
        self, killed: Path, capsys: pytest.CaptureFixture[str], reference: Callable[..., Any]
    ) -> None:
        rows = (killed / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        assert len(rows) == 5
        train(running.config(), killed, COMMAND, resume=True)
        check_same(killed, reference(running.config()))
        (beside,) = killed.glob("metrics.jsonl.cut-*")
        assert beside.read_bytes() == b"".join(rows[3:])
        assert f"2 rows of metrics.jsonl behind the checkpoint: now in {beside.name}" in (
            capsys.readouterr().out
        )

    @pytest.mark.parametrize("name", ["metrics.jsonl", "eval.jsonl"])
    def test_a_changed_digit_before_every_checkpoint(self, killed: Path, name: str) -> None:
        data = (killed / name).read_bytes()
        place = data.index(b"return_mean") + len(b"return_mean") + 4
        (killed / name).write_bytes(data[:place] + b"7" + data[place + 1 :])
        assert (killed / name).read_bytes() != data
        refused(killed, f"row 1 of {name} was changed")

    def test_a_changed_row_is_made_again_from_the_checkpoint_before_it(
        self, copy: Path, capsys: pytest.CaptureFixture[str], reference: Callable[..., Any]
    ) -> None:
        path = copy / "metrics.jsonl"
        rows = path.read_bytes().splitlines(keepends=True)
        changed = rows[7].replace(b'"iteration": 8', b'"iteration": 9')
        path.write_bytes(b"".join([*rows[:7], changed]))
        train(running.config(), copy, COMMAND, resume=True)
        assert "row 8 of metrics.jsonl was changed" in capsys.readouterr().err
        check_same(copy, reference(running.config()))
        (beside,) = copy.glob("metrics.jsonl.cut-*")
        assert beside.read_bytes() == changed

    def test_another_runs_rows(self, copy: Path, tmp_path: Path) -> None:
        other = make(tmp_path / "other")
        train(running.config(), other, COMMAND)
        shutil.copy(other / "metrics.jsonl", copy / "metrics.jsonl")
        refused(copy, "row 1 of metrics.jsonl", total_steps=10 * BATCH)


class TestEvaluations:
    def test_trpo_evals_row_between_kill_and_resume_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: Callable[..., Any]
    ) -> None:
        """It has the step of the checkpoint, and used to be taken for the final evaluation."""
        with monkeypatch.context() as patch:
            interrupt_at(patch, Training, "iterate", 4)
            with pytest.raises(Interrupted):
                train(running.config(), tmp_path, COMMAND)
        assert trpo_eval([str(tmp_path), "--episodes", "2", "--sampled"]) == 0
        (ours,) = [row for row in lines(tmp_path / "eval.jsonl") if "by" in row]
        train(running.config(), tmp_path, COMMAND, resume=True)
        found = lines(tmp_path / "eval.jsonl")
        kept = [row for row in found if "by" in row]
        assert [running.untimed(row) for row in kept] == [running.untimed(ours)]
        own = [running.untimed(row) for row in found if "by" not in row]
        assert own == reference(running.config())["eval"]
        data = (tmp_path / "eval.jsonl").read_bytes()
        start = manifest.read(tmp_path)["rows"]["start"]
        assert all(chain.following(chain.lines_of(data), start))

    def test_two_evaluations_behind_the_end_and_then_more_training(
        self, copy: Path, reference: Callable[..., Any]
    ) -> None:
        """The final evaluation goes, as it is made again later; those of trpo-eval stay."""
        for kind in ("--sampled", "--deterministic"):
            assert trpo_eval([str(copy), "--episodes", "2", kind]) == 0
        longer = running.config(total_steps=9 * BATCH)
        train(longer, copy, COMMAND, resume=True)
        found = lines(copy / "eval.jsonl")
        assert [row["deterministic"] for row in found if "by" in row] == [False, True]
        own = [running.untimed(row) for row in found if "by" not in row]
        assert own == reference(longer)["eval"]


class TestBest:
    def damage(self, folder: Path) -> Path:
        best = (folder / "checkpoints" / "best").resolve()
        path = best / "tensors.safetensors"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        return best

    @pytest.mark.parametrize("how", ["flipped", "missing"])
    def test_a_best_checkpoint_that_is_lost_is_told_and_stops_nothing(
        self, copy: Path, capsys: pytest.CaptureFixture[str], how: str
    ) -> None:
        best = self.damage(copy)
        assert best.name != f"step_{8 * BATCH}"
        if how == "missing":
            shutil.rmtree(best)
        train(running.config(total_steps=9 * BATCH), copy, COMMAND, resume=True)
        out, err = capsys.readouterr()
        assert "the best checkpoint cannot be used any more" in out and best.name in out
        assert status(copy) == ("finished", None)
        aside = list(copy.glob(f"checkpoints/{best.name}.cut-*"))
        assert len(aside) == (how == "flipped") and not best.exists()
        evaluations = lines(copy / "eval.jsonl")
        if not any(row.get("checkpoint") == "best" for row in evaluations):
            assert "the best checkpoint is not evaluated again" in err

    def test_damaged_while_the_run_went_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        real = Evaluator.run_best

        def run_best(evaluator: Evaluator, folder: Path, *more: Any) -> Any:
            self.damage(tmp_path)
            return real(evaluator, folder, *more)

        monkeypatch.setattr(Evaluator, "run_best", run_best)
        train(running.config(), tmp_path, COMMAND)
        assert "is not evaluated again" in capsys.readouterr().err
        assert status(tmp_path) == ("finished", None)


class TestEvents:
    @pytest.mark.parametrize("where", ["first byte", "middle", "gone"])
    def test_what_a_damaged_byte_hides_is_written_again(
        self,
        killed: Path,
        capsys: pytest.CaptureFixture[str],
        reference: Callable[..., Any],
        where: str,
    ) -> None:
        (path,) = events_files(killed)
        data = bytearray(path.read_bytes())
        data[0 if where == "first byte" else len(data) // 3] ^= 1
        path.write_bytes(data)
        if where == "gone":
            path.unlink()
        train(running.config(), killed, COMMAND, resume=True)
        assert "events were written again from the rows" in capsys.readouterr().out
        check_same(killed, reference(running.config()))  # TensorBoard shows every row, once


class TestConfiguration:
    def change(self, folder: Path, old: str, new: str) -> None:
        path = folder / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    @pytest.mark.parametrize("known", [True, False], ids=["new", "older"])
    def test_evaluation_of_another_environment_is_refused(
        self, copy: Path, capsys: pytest.CaptureFixture[str], known: bool
    ) -> None:
        if not known:
            unchain(copy)
        self.change(copy, "Hopper-v4", "Hopper-v5")
        before = contents(copy)
        capsys.readouterr()
        assert trpo_eval([str(copy), "--episodes", "1"]) == 2
        err = capsys.readouterr().err
        assert ("was changed after" if known else "env.id is Hopper-v4 there and") in err
        assert err.count("\n") == 1 and contents(copy) == before

    @pytest.mark.parametrize(
        ("known", "lost"), [(True, "eval:\n"), (False, "  num_envs: 4\n"), (False, "seed: 3\n")]
    )
    def test_what_is_lost_is_not_completed_with_defaults(
        self, copy: Path, capsys: pytest.CaptureFixture[str], known: bool, lost: str
    ) -> None:
        """A file cut short, or a line of it; an older run's checkpoint knows what it keeps."""
        path = copy / "config.yaml"
        before, _, after = path.read_text().partition(lost)
        path.write_text(before if known else before + after)
        if not known:
            unchain(copy)
        capsys.readouterr()
        assert trpo_eval([str(copy), "--episodes", "1"]) == 2
        assert trpo_resume(copy) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 2
        assert err.count("was changed" if known else lost.partition(":")[0].strip()) >= 2

    def test_a_kill_between_manifest_and_configuration(
        self, killed: Path, monkeypatch: pytest.MonkeyPatch, reference: Callable[..., Any]
    ) -> None:
        """A resumption changed a setting and died before config.yaml had it."""
        from trpo_cli.training import session

        longer = running.config(total_steps=9 * BATCH)
        with monkeypatch.context() as patch:
            patch.setattr(session, "write_atomically", no_room)
            with pytest.raises(KeyboardInterrupt):
                train(longer, killed, COMMAND, resume=True)
        assert "total_steps: 1024" in (killed / "config.yaml").read_text()
        manifest.check_config(killed, manifest.read(killed))
        train(longer, killed, COMMAND, resume=True)
        assert result(killed)["metrics"] == reference(longer)["metrics"]
        manifest.check_config(killed, manifest.read(killed))


def trpo_resume(folder: Path) -> int:
    from trpo_cli.commands.run import main

    return main([f"resume={folder}", f"total_steps={9 * BATCH}"])
