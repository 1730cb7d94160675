"""scripts/equality.py: what counts as a difference and how it is named, without any run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/equality.py"
GROUPS = ("algo", "policy", "value", "advantage")


@pytest.fixture(scope="module")
def equality() -> ModuleType:
    spec = importlib.util.spec_from_file_location("equality", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def write_run(run_dir: Path, **changes: Any) -> Path:
    """A run directory of two rows, one evaluation and one array, with some values changed."""
    row = {"step": 64, "policy/kl": 0.1, "value/loss": None, "seconds": 1.0, "time/update": 0.5}
    rows = [row, {**row, "step": 128, **changes.get("row", {})}][: changes.get("rows", 2)]
    evaluation = {"step": 128, "returns": [1.5, 2.5], **changes.get("eval", {})}
    checkpoint = run_dir / "checkpoints/last"
    checkpoint.mkdir(parents=True)
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (run_dir / "eval.jsonl").write_text(json.dumps(evaluation) + "\n")
    arrays = {"policy": np.array([1.0, 0.0], np.float32), **changes.get("arrays", {})}
    save_file(arrays, checkpoint / "tensors.safetensors")
    return run_dir


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ""),
        ({"row": {"seconds": 9.0, "time/update": 7.0}}, ""),
        ({"row": {"policy/kl": np.nextafter(0.1, 1.0)}}, "metrics.jsonl line 2, policy/kl: 0.1 "),
        ({"row": {"value/loss": 0.0}}, "metrics.jsonl line 2, value/loss: None and 0.0"),
        ({"row": {"policy/new": 1.0}}, "metrics.jsonl line 2, policy/new: missing and 1.0"),
        ({"rows": 1}, "metrics.jsonl: 2 and 1 lines"),
        ({"eval": {"returns": [1.5, 2.25]}}, "eval.jsonl line 1, returns: [1.5, 2.5] and"),
        ({"arrays": {"policy": np.array([1.0, -0.0], np.float32)}}, "array policy: float32[2]"),
        ({"arrays": {"policy": np.array([1.0, 0.0])}}, "array policy: float32[2]"),
        ({"arrays": {"more": np.zeros(3)}}, "array more: missing and float64[3]"),
    ],
)
def test_the_first_difference(
    equality: ModuleType, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    theirs = equality.read_result(write_run(tmp_path / "theirs"))
    ours = equality.read_result(write_run(tmp_path / "ours", **changes))
    stored = json.loads(json.dumps(theirs))  # no digit is lost in a file
    assert equality.difference(stored, theirs) == ""
    found = equality.difference(stored, ours)
    assert found.startswith(named) and bool(found) == bool(named)


def test_a_metric_that_may_differ(equality: ModuleType, tmp_path: Path) -> None:
    theirs = equality.read_result(write_run(tmp_path / "theirs"))
    ours = equality.read_result(write_run(tmp_path / "ours", row={"policy/kl": 0.2, "new/a": 1}))
    assert equality.difference(theirs, ours, ["policy/k*", "new/a"]) == ""
    assert "new/a" in equality.difference(theirs, ours, ["policy/kl"])


def test_the_exit_status(
    equality: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = equality.cases()[:2]
    result = equality.read_result(write_run(tmp_path / "run"))
    good = [{**result, "command": case.command} for case in (first, second)]
    assert equality.report([first, second], good, good, []) == 0
    assert "2 of 2 equal" in capsys.readouterr().out
    for theirs, ours, why in (
        (good[0], {"error": "exit status 2: no"}, "this: exit status 2: no"),
        ({"error": "exit status 2: no"}, good[0], "other: exit status 2: no"),
        (None, good[0], "not among the saved"),
        ({**good[0], "command": ["seed=4"]}, good[0], "another one"),
    ):
        assert equality.report([second], [good[1]], [good[1]], []) == 0
        assert equality.report([first, second], [theirs, good[1]], [ours, good[1]], []) == 1
        out = capsys.readouterr().out
        assert f"DIFFERS  {first.words}: " in out and why in out and "1 of 2 equal" in out


def test_every_option_is_among_the_cases(equality: ModuleType) -> None:
    words = [case.words for case in equality.cases()]
    assert len(set(words)) == len(words)
    options = {g: {f.stem for f in (ROOT / "conf" / g).glob("*.yaml")} for g in GROUPS}
    for env in ("Hopper-v4", "CartPole-v1"):
        for rule in options["algo"]:
            assert equality.cases(rf"algo={rule} env={env}$"), (rule, env)
    for group in ("policy", "value", "advantage"):
        for option in options[group] - {"auto", "gae"}:  # the defaults
            assert equality.cases(rf"\b{group}={option}\b"), option
