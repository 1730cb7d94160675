"""What a run with a policy that remembers is good for: in Python, and as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trpo_cli
from tests.support import running
from tests.training.test_remembering import RECALL
from trpo_cli.commands import export
from trpo_cli.commands import run as cli


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    words = running.settings("ppo", RECALL, policy="gru", total_steps=128)
    words += ["policy.output_gain=1.0", "policy.memory_size=8", f"hydra.run.dir={folder}"]
    assert cli.main(words) == 0
    return folder


def test_load_goes_on_until_reset(run_dir: Path) -> None:
    policy: Any = trpo_cli.load(run_dir)
    seen = np.random.default_rng(0).normal(size=(40, 2))
    whole = np.array([policy.act(x) for x in seen])
    policy.reset()
    assert [policy.act(x) for x in seen] == whole.tolist()
    alone = []
    for x in seen:
        policy.reset()
        alone.append(policy.act(x))
    assert alone != whole.tolist(), "what was seen before makes a difference"


def test_load_resets_some_of_a_batch(run_dir: Path) -> None:
    policy: Any = trpo_cli.load(run_dir)
    seen = np.random.default_rng(0).normal(size=(3, 2))
    for _ in range(3):
        policy.act(seen)
    policy.reset([1])
    states = policy._acting[0].states
    assert not states[1].any() and states[[0, 2]].all()
    with pytest.raises(ValueError, match=r"in 3 environments, and there are 1 .* reset\(\)"):
        policy.act(seen[0])


def test_export_says_what_goes_in_and_out(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run_dir), "--format", "torchscript", "--out", str(tmp_path / "policy.pt")]
    assert export.main(words) == 0
    said = capsys.readouterr().out
    assert "in   state (batch, 8) float32" in said and "out  state (batch, 8) float32" in said
    assert export.main([str(run_dir), "--format", "npz"]) == 2
    assert "torchscript or onnx" in capsys.readouterr().err
