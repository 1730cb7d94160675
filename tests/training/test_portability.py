"""What a run gives where the compiled code of this machine is not what runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.running import REPOSITORY, config, lines, untimed
from trpo_cli.runs import checkpoint
from trpo_cli.training.loop import train

RULES: dict[str, dict[str, Any]] = {
    "trpo": {},
    "ppo": {"algo.epochs": 2, "algo.minibatch_size": 8},
}
SMALL = {
    "sampler.num_envs": 2,
    "sampler.steps_per_env": 8,
    "policy.hidden_sizes": "[8,8]",
    "value.hidden_sizes": "[8,8]",
    "value.minibatch_size": 8,
    "env.max_episode_steps": 5,  # so that the row has returns
    "total_steps": 16,
    "checkpoint.every": 16,
    "eval.every": 16,
    "eval.episodes": 1,
}


def train_each(folder: Path) -> None:
    """One iteration of each rule."""
    for rule, more in RULES.items():
        (folder / rule).mkdir()
        train(config(rule, **SMALL, **more), folder / rule, ["trpo-run"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the code that is compiled for this machine."""
    folder = tmp_path_factory.mktemp("compiled")
    train_each(folder)
    return folder


@pytest.mark.parametrize(
    "setting",
    ["NUMBA_DISABLE_JIT=1", pytest.param("NUMBA_CPU_NAME=generic", marks=pytest.mark.slow)],
)
def test_nearly_the_same(setting: str, expected: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from tests.training.test_portability import train_each; train_each(Path(sys.argv[1]))"
    )
    name, value = setting.split("=")
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, name: value}, check=True)
    for rule in RULES:
        ours, theirs = tmp_path / rule, expected / rule
        arrays, _ = checkpoint.load(checkpoint.latest(ours))
        compiled, _ = checkpoint.load(checkpoint.latest(theirs))
        assert arrays.keys() == compiled.keys()
        for key in arrays:
            # float32 rounds a parameter to 6e-8 a step; the steps are 3e-4 and more.
            np.testing.assert_allclose(
                arrays[key], compiled[key], rtol=1e-5, atol=1e-5, err_msg=f"{rule} {key}"
            )
        for file in ("metrics.jsonl", "eval.jsonl"):
            rows, compiled_rows = lines(ours / file), lines(theirs / file)
            for row, compiled_row in zip(rows, compiled_rows, strict=True):
                check_nearly(untimed(row), untimed(compiled_row))


def check_nearly(row: dict[str, Any], other: dict[str, Any]) -> None:
    assert row.keys() == other.keys()
    for key, value in row.items():
        if isinstance(value, (int, float, list)):
            # Differences of nearly equal numbers, such as a KL, have few digits without noise.
            np.testing.assert_allclose(value, other[key], rtol=1e-3, atol=1e-5, err_msg=key)
        else:
            assert value == other[key], key
