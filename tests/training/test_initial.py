"""`init=`: runs that begin with another run's policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running
from tests.support.running import BATCH, lines
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.runs import checkpoint
from trpo_cli.training import initial
from trpo_cli.training.trainer import Training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two iterations of PPO on CartPole."""
    folder = tmp_path_factory.mktemp("trained") / "first"
    assert train(folder, "ppo", total_steps=2 * BATCH) == 0
    return folder


def train(folder: Path, rule: str, /, *words: str, **changes: Any) -> int:
    quiet = {"eval.every": 0, "eval.episodes": 0, "total_steps": 2 * BATCH}
    given = running.settings(rule, "CartPole-v1", **{**quiet, **changes})
    return trpo_run([*given, *words, "-q", f"hydra.run.dir={folder}"])


def manifest(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())
    return content


def arrays(run_dir: Path, step: int) -> dict[str, np.ndarray]:
    return checkpoint.load(checkpoint.path(run_dir, step))[0]


class TestBegins:
    @pytest.mark.parametrize("rule", ["ppo", "trpo", "es"])
    def test_with_what_the_other_run_learned(
        self, trained: Path, tmp_path: Path, rule: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Another rule, another seed; parameters and statistics are those of step 256."""
        run_dir = tmp_path / "second"
        words = ["checkpoint.keep=9"] if rule != "es" else []
        changes: dict[str, Any] = {"seed": 9, "checkpoint.every": BATCH}
        if rule == "es":
            given = ["algo=es", "env=CartPole-v1", "seed=9", "total_steps=1", "threads=1"]
            given += ["sampler.num_envs=2", "eval.episodes=0", f"hydra.run.dir={run_dir}"]
            assert trpo_run([*given, f"init={trained}"]) == 0
        else:
            assert train(run_dir, rule, f"init={trained}", *words, **changes) == 0
        before, after = arrays(trained, 2 * BATCH), arrays(run_dir, 0)
        kept = [key for key in before if key.startswith(("policy/", "value/"))]
        assert "policy/normalizer/mean" in kept and "value/parameters" in kept
        kept = [key for key in kept if rule != "es" or key.startswith("policy/")]
        for key in kept:
            assert np.array_equal(before[key], after[key]), key
        found = manifest(run_dir)["init"]
        assert found == {
            "run": str(trained),
            "checkpoint": "step_256",
            "digest": checkpoint.digest(checkpoint.path(trained, 256)),
            "taken": ["policy"] if rule == "es" else ["policy", "value"],
        }
        said = "the value function begins anew: value.name is mlp there and none here"
        assert (said in capsys.readouterr().out) == (rule == "es")

    def test_a_named_checkpoint(self, trained: Path, tmp_path: Path) -> None:
        named = trained / "checkpoints" / "step_256"
        assert train(tmp_path / "second", "ppo", f"init={named}") == 0
        assert manifest(tmp_path / "second")["init"]["checkpoint"] == "step_256"

    def test_resumes_without_the_other_run(self, trained: Path, tmp_path: Path) -> None:
        """To the bit, from the checkpoint of step 0, and from none in one that was cut off."""
        other, whole = tmp_path / "other", tmp_path / "whole"
        shutil.copytree(trained, other, symlinks=True)
        assert train(whole, "trpo", f"init={other}", "checkpoint.keep=9") == 0
        rows = [running.untimed(row) for row in lines(whole / "metrics.jsonl")]
        for kept in (["step_0"], []):
            run_dir = tmp_path / f"cut{len(kept)}"
            assert train(run_dir, "trpo", f"init={other}", "checkpoint.keep=9") == 0
            for folder in (run_dir / "checkpoints").iterdir():
                if folder.is_symlink():
                    folder.unlink()
                elif folder.name not in kept:
                    shutil.rmtree(folder)
            content = manifest(run_dir)
            known = {**content, "status": "running", "step": 0, "checkpoint": 0 if kept else None}
            known["rows"] = checkpoint.load(checkpoint.path(whole, 0))[1]["rows"]
            known["rows"] = {k: [0, content["rows"]["start"]] for k in known["rows"]}
            known["rows"]["start"] = content["rows"]["start"]
            del known["sha256"]
            (run_dir / "manifest.json").write_text(json.dumps(known))
            if kept:
                shutil.move(other, tmp_path / "moved")
            assert trpo_run([f"resume={run_dir}", "-q"]) == 0
            if kept:
                shutil.move(tmp_path / "moved", other)
            again = lines(run_dir / "metrics.jsonl")
            assert [running.untimed(row) for row in again] == rows
        shutil.rmtree(other)
        for folder in (run_dir / "checkpoints").iterdir():
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
        (run_dir / "manifest.json").write_text(json.dumps(known))
        assert trpo_run([f"resume={run_dir}", "-q"]) == 2

    def test_last_and_sweeps(
        self, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`last` is the newest run when the sweep is begun, and not the sweep itself."""
        monkeypatch.chdir(tmp_path)
        shutil.copytree(trained, "outputs/first", symlinks=True)
        words = ["algo=vpg,trpo", "env=CartPole-v1", "seed=3", "total_steps=1", "threads=1"]
        words += ["sampler.num_envs=2", "sampler.steps_per_env=8", "eval.episodes=0"]
        assert trpo_run(["-m", "-q", *words, "init=last"]) == 0
        runs = sorted(Path("outputs/multirun").glob("*/[01]/manifest.json"))
        assert len(runs) == 2
        for path in runs:
            assert manifest(path.parent)["init"]["run"] == str(Path("outputs/first").absolute())


class TestRefused:
    def refused(self, capsys: Any, folder: Path, words: list[str], *said: str) -> None:
        capsys.readouterr()
        given = running.settings("ppo", "CartPole-v1")
        keys = [word.partition("=")[0] for word in words]
        given = [word for word in given if word.partition("=")[0] not in keys]
        assert trpo_run([*given, *words, f"hydra.run.dir={folder / 'new'}"]) == 2
        *warnings, error = capsys.readouterr().err.splitlines()
        assert all(line.startswith("warning: ") for line in warnings)
        assert error.startswith("trpo-run: ") and all(text in error for text in said), error
        assert not (folder / "new").exists()

    def test_what_differs(self, trained: Path, tmp_path: Path, capsys: Any) -> None:
        init = f"init={trained}"
        for words, said in (
            (
                ["env=Acrobot-v1"],
                ["its observations are Box([-4.8", "of env=Acrobot-v1 Box([ -1. -1."],
            ),
            (["policy=linear"], ["its policy is mlp, and here it is linear. Give policy=mlp,"]),
            (
                ["policy.hidden_sizes=[8]"],
                ["its policy.hidden_sizes is [64, 64], and here it is [8]", "sizes=[64,64]"],
            ),
            (["policy.activation=relu"], ["its policy.activation is tanh, and here it is relu"]),
        ):
            self.refused(capsys, tmp_path, [init, *words], init, *said)

    def test_what_is_no_run(self, trained: Path, tmp_path: Path, capsys: Any) -> None:
        self.refused(capsys, tmp_path, ["init=nowhere"], "nowhere", "does not exist")
        self.refused(capsys, tmp_path, ["init="], "init= needs a run directory")
        self.refused(capsys, tmp_path, [f"init={tmp_path}"], "not a run directory")
        named = trained / "checkpoints" / "step_7"
        self.refused(capsys, tmp_path, [f"init={named}"], "no checkpoint step_7; it has step_")
        damaged = tmp_path / "damaged"
        shutil.copytree(trained, damaged, symlinks=True)
        for path in damaged.glob("checkpoints/step_*/tensors.safetensors"):
            path.write_bytes(b"")
        self.refused(capsys, tmp_path, [f"init={damaged}"], "no whole checkpoint", "bytes instead")

    def test_resuming_with_it(self, trained: Path, capsys: Any) -> None:
        assert trpo_run([f"resume={trained}", f"init={trained}"]) == 2
        assert "a resumed run keeps the configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["value.hidden_sizes=[8]"], "value.hidden_sizes is [64, 64] there and [8] here"),
        (["value.activation=relu"], "value.activation is tanh there and relu here"),
        (["value=quadratic"], "value.name is mlp there and quadratic here"),
        (["advantage.scale_rewards=true"], "scale_rewards is False there and True here"),
    ],
)
def test_another_value_function_is_left_out(trained: Path, change: list[str], said: str) -> None:
    config = config_of("algo=trpo", "env=CartPole-v1", "seed=1", f"init={trained}", *change)
    training = Training(config)
    fresh = np.array(training.value.parameters)
    try:
        facts, words = initial.begin(training, None)
        assert facts["taken"] == ["policy"] and said in words
        assert np.array_equal(training.value.parameters, fresh)
        before = arrays(trained, 2 * BATCH)["policy/parameters"]
        assert np.array_equal(training.policy.parameters, before)
    finally:
        training.close()
