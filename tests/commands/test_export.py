"""`trpo-export`, `trpo_cli.load` and `trpo_cli.read` on the directory of a run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import trpo_cli
from tests.support import running, toys  # noqa: F401
from trpo_cli.api import column
from trpo_cli.commands import export
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.errors import UserError
from trpo_cli.export import formats
from trpo_cli.export.reader import read_policy
from trpo_cli.runs import checkpoint
from trpo_cli.sweeps import index

DOCS = running.REPOSITORY / "docs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """outputs/first of some folder: two iterations of PPO on CartPole."""
    folder = tmp_path_factory.mktemp("trained")
    run_dir = folder / "outputs" / "first"
    often = {"total_steps": 2 * running.BATCH, "eval.every": running.BATCH}
    words = running.settings("ppo", "CartPole-v1", **often)
    assert trpo_run([*words, "-q", f"hydra.run.dir={run_dir}"]) == 0
    return run_dir


@pytest.fixture
def run_dir(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same in the working directory, to be spoilt."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "outputs/first", symlinks=True)
    return Path("outputs/first")


def python(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def refused(capsys: pytest.CaptureFixture[str], words: list[str], text: str, status: int) -> None:
    assert export.main(words) == status
    error = capsys.readouterr().err
    assert error.startswith("trpo-export: ") and error.count("\n") == 1
    assert text in error


class TestCommand:
    @pytest.mark.parametrize("name", ["npz", "torchscript"])
    def test_writes_into_the_run(self, run_dir: Path, capsys: Any, name: str) -> None:
        assert export.main([str(run_dir), "--format", name]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.splitlines()[:5] == [
            f"outputs/first/policy.{name}",
            "  ppo on CartPole-v1 after 256 steps",
            "  in   observation (batch, 4) float32",
            "  out  action (batch) int64",
            "  out  logits (batch, 2) float32",
        ]
        assert "over 1,024 observations" in out
        data = (run_dir / f"policy.{name}").read_bytes()
        observations = np.ones((3, 4), dtype=np.float32)
        found = formats.FORMATS[name].read(data)(observations)["action"]
        assert found.tolist() == trpo_cli.load(run_dir).act(observations).tolist()

    def test_another_checkpoint_and_place(self, run_dir: Path) -> None:
        words = ["--format", "npz", "--out", "new/policy.npz", "--checkpoint", "step_128"]
        assert export.main([str(run_dir), *words]) == 0
        about = json.loads(str(np.load("new/policy.npz")["about"]))
        assert about == {
            "env": "CartPole-v1",
            "algo": "ppo",
            "seed": 3,
            "step": 128,
            "trpo_cli": trpo_cli.__version__,
        }

    def test_what_acts_otherwise_is_not_written(
        self, run_dir: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bias that is 0.001 too large."""
        right = formats.FORMATS["npz"]

        def wrong(module: Any, example: np.ndarray, about: dict[str, Any]) -> bytes:
            module.network[-1].bias += 1e-3
            return right.write(module, example, about)

        monkeypatch.setitem(formats.FORMATS, "npz", replace(right, write=wrong))
        words = [str(run_dir), "--format", "npz"]
        refused(
            capsys, words, "the logits of the npz file differs from the policy's by up to 0.001", 3
        )
        assert not list(run_dir.glob("*policy*"))

    def test_missing_packages(self, run_dir: Path, capsys: Any, monkeypatch: Any) -> None:
        monkeypatch.setitem(export.PACKAGES, "onnx", ("numpy", "no_such_package"))
        refused(capsys, [str(run_dir)], 'needs no_such_package: pip install "trpo_cli[export]"', 2)

    def test_mistakes(self, run_dir: Path, capsys: Any) -> None:
        first = str(run_dir)
        refused(capsys, ["nowhere"], "nowhere does not exist", 2)
        refused(capsys, [first, "--format", "tflite"], "tflite", 2)
        refused(capsys, [first, "--format", "npz", "--out", "outputs"], "is a folder", 2)
        refused(capsys, [first, "--format", "npz", "--checkpoint", "step_7"], "step_256", 2)
        shutil.rmtree(run_dir / "checkpoints")
        refused(capsys, [first, "--format", "npz"], "has no checkpoint yet", 2)

    def test_a_sweep_is_not_one_run(self, run_dir: Path, capsys: Any) -> None:
        sweep = index.new(["trpo-run"], None, [], None, [["seed=1"], ["seed=2"]], ["0", "1"])
        sweep.write(run_dir.parent)
        said = "outputs is a sweep. Name one of its runs: outputs/0, outputs/1."
        refused(capsys, ["outputs"], said, 2)


class TestLoad:
    def test_acts_as_the_run_s_policy(self, run_dir: Path) -> None:
        """Logits of an MLP by hand, from the checkpoint's arrays."""
        tensors, _ = checkpoint.load(checkpoint.find(run_dir, "last"))
        p, count = tensors["policy/parameters"], tensors["policy/normalizer/count"][0]
        mean = tensors["policy/normalizer/mean"]
        h = np.random.default_rng(0).standard_normal((50, 4))
        policy = trpo_cli.load(run_dir)
        found = policy.act(h)
        h = np.clip((h - mean) / np.sqrt(tensors["policy/normalizer/square"] / count), -10, 10)
        for n, m in ((4, 64), (64, 64), (64, 2)):
            weight, bias, p = p[: n * m].reshape(n, m), p[n * m : (n + 1) * m], p[(n + 1) * m :]
            h = (np.tanh(h) if n == 64 else h) @ weight + bias
        assert found.tolist() == h.argmax(1).tolist()
        assert 0 < found.sum() < 50
        assert policy.step == 256 and policy.config.seed == 3

    def test_one_observation_or_several(self, run_dir: Path) -> None:
        policy = trpo_cli.load(str(run_dir), "step_128")
        batch = np.random.default_rng(0).standard_normal((5, 4))
        one = policy.act(batch[0].tolist())
        assert policy.action_space.contains(one) and one == policy.act(batch)[0]
        for wrong in (batch.T, 0.0, batch[:, :3]):
            with pytest.raises(ValueError, match=r"have shape \(4,\), or \(n, 4\)"):
                policy.act(wrong)

    def test_sampled_actions(self, run_dir: Path) -> None:
        """The same generator draws the same; an untrained policy takes either action half of the
        time: 400 flips, five standard deviations are 0.125."""
        policy, batch = trpo_cli.load(run_dir), np.zeros((400, 4))
        draws = [policy.act(batch, False, np.random.default_rng(seed)) for seed in (1, 1, 2)]
        assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()
        assert abs(policy.act(batch, deterministic=False).mean() - 0.5) < 0.2

    def test_takes_actions_to_the_environment_s_own(self, run_dir: Path) -> None:
        """Toy/Discrete-v0 counts from 5, Pendulum's torque is within 2."""
        quiet = {"eval.every": 0, "eval.episodes": 0, "total_steps": running.BATCH}
        for env in ("Toy/Discrete-v0", "Pendulum-v1"):
            words = running.settings("ppo", env, **quiet)
            assert trpo_run([*words, "-q", f"hydra.run.dir={env}"]) == 0
            policy, made = trpo_cli.load(env), gymnasium.make(env)
            action = policy.act(made.reset(seed=0)[0], deterministic=False)
            assert made.action_space.contains(action), action
            assert export.main([env, "--format", "npz"]) == 0
            found = read_policy(Path(env, "policy.npz"))(made.reset(seed=0)[0][None])["action"][0]
            assert made.action_space.contains(found), found

    def test_nothing_is_imported_for_a_stranger(self, run_dir: Path) -> None:
        Path("evil.py").write_text("import pathlib; pathlib.Path('witness').touch()")
        config = run_dir / "config.yaml"
        config.write_text(config.read_text().replace("id: CartPole-v1", "id: evil:Evil-v0"))
        for act in (
            lambda: trpo_cli.load(run_dir),
            lambda: trpo_cli.load(run_dir, trust=False, checkpoint="best"),
        ):
            with pytest.raises(UserError, match="names the module evil,"):
                act()
        assert export.main([str(run_dir), "--format", "npz"]) == 2
        assert not Path("witness").exists()

    def test_importing_the_package_is_light(self) -> None:
        heavy = {"torch", "numba", "numpy", "gymnasium"}
        code = f"import sys, trpo_cli; print({heavy} & sys.modules.keys())"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "set()\n"


class TestRead:
    def test_columns(self, run_dir: Path) -> None:
        rows, raw = trpo_cli.read(run_dir), running.lines(run_dir / "metrics.jsonl")
        assert list(rows) == [key for key in raw[0] if key != "chain"]
        assert rows["step"].tolist() == [128, 256] and rows["step"].dtype == np.int64
        assert rows["policy/kl"].tolist() == [row["policy/kl"] for row in raw]

    def test_evaluations(self, run_dir: Path) -> None:
        rows = trpo_cli.read(run_dir, "eval")
        raw = running.lines(run_dir / "eval.jsonl")
        assert rows["step"].tolist() == [row["step"] for row in raw]
        assert rows["returns"].tolist() == [row["returns"] for row in raw]
        assert rows["deterministic"].dtype == bool

    def test_kinds_of_columns(self) -> None:
        assert column([1, None, 2.5]).tolist()[::2] == [1.0, 2.5]
        assert np.isnan(column([None, 1])[0]) and np.isnan(column([None])).all()
        assert column([True, None]).tolist() == [True, None]
        assert column(["cut", None]).tolist() == ["cut", None]
        assert column([[1, 2], [3, 4]]).shape == (2,)
        assert column([10**30, 1]).tolist() == [10**30, 1]

    def test_mistakes(self, run_dir: Path) -> None:
        with pytest.raises(UserError, match="there are 'metrics' and 'eval'"):
            trpo_cli.read(run_dir, "evals")
        with pytest.raises(UserError, match="nowhere does not exist"):
            trpo_cli.read("nowhere")
        rows = run_dir / "metrics.jsonl"
        rows.write_text(rows.read_text().replace('"step": 128', '"step": 129'))
        with pytest.raises(UserError, match=r"metrics\.jsonl"):
            trpo_cli.read(run_dir)


class TestPages:
    def test_the_reader_is_the_package_s(self) -> None:
        text = Path(formats.__file__).with_name("reader.py").read_text()
        code = text[text.index("import numpy") :]
        assert python("commands/trpo-export.md")[1] == code

    def test_the_example_runs_with_onnxruntime(self, run_dir: Path, capsys: Any) -> None:
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        assert export.main([str(run_dir), "--out", "policy.onnx"]) == 0
        code = python("commands/trpo-export.md")[0]
        assert len(code.splitlines()) <= 15
        capsys.readouterr()
        exec(code, {})
        policy, env = trpo_cli.load(run_dir), gymnasium.make("CartPole-v1")
        observation, paid, over = env.reset(seed=0)[0], 0.0, False
        while not over:
            observation, reward, over, *_ = env.step(policy.act(observation))
            paid += float(reward)
        assert capsys.readouterr().out == f"return {paid}\n"

    def test_the_notebook_runs(self, run_dir: Path, capsys: Any, monkeypatch: Any) -> None:
        monkeypatch.setenv("MPLBACKEND", "agg")
        names: dict[str, Any] = {}
        for block in python("python.md"):
            exec(block, names)
        assert "256 ppo Box(" in capsys.readouterr().out
        assert Path("returns.png").stat().st_size > 1000
