"""W&B, MLflow and Trackio themselves, without a network: what they keep, read back from their own
files. Each is skipped where it is not installed."""

from __future__ import annotations

import glob
import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import BATCH, interrupt_at, lines, settings
from trpo_cli.commands.run import main
from trpo_cli.runs.scalars import numbers
from trpo_cli.training.trainer import Training

pytestmark = pytest.mark.slow  # importing one takes seconds, MLflow's new database ten more


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)


def run_twice(name: str) -> list[Any]:
    """A run of a sweep, and more of it: its rows. It ends with an evaluation both times."""
    words = settings("trpo", "CartPole-v1", total_steps=6 * BATCH)
    assert main(["-m", *words, "hydra.sweep.dir=tried", f"logger={name}"]) == 0
    assert main(["resume=tried/0", f"total_steps={8 * BATCH}"]) == 0
    return lines(Path("tried/0/metrics.jsonl"))


def numbers_of(rows: list[Any], key: str) -> list[tuple[int, float]]:
    return [(row["step"], numbers(row)[key]) for row in rows]


def records(path: str) -> Iterator[Any]:
    """Of a .wandb file: LevelDB's log, in blocks of 32 KiB, behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = Path(path).read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def test_wandb(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb")
    rows = run_twice("wandb")
    assert "warning" not in capfd.readouterr().err
    files = sorted(glob.glob("tried/0/wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    identity = json.loads(Path("tried/0/manifest.json").read_text())["tracker_id"]
    told, codes, evaluated = [], [], {}
    for path in files:
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                assert (record.run.run_id, record.run.run_group) == (identity, "tried")
                config = {item.key: item.value_json for item in record.run.config.update}
                assert (config["seed"], config["algo.name"]) == ("3", '"trpo"')
            elif kind == "exit":
                codes.append(record.exit.exit_code)
            elif kind == "history":
                row = {(i.key or "/".join(i.nested_key)): i.value_json for i in record.history.item}
                step = record.history.step.num
                if "policy/kl" in row:
                    told.append((step, json.loads(row["policy/kl"])))
                if "eval/return_mean" in row:
                    evaluated[step] = json.loads(row["eval/return_mean"])
    assert told == numbers_of(rows, "policy/kl")
    assert codes == [0, 0]
    for row in lines(Path("tried/0/eval.jsonl")):
        if "checkpoint" not in row:
            assert evaluated[row["step"]] == row["return_mean"]


def test_mlflow(capfd: pytest.CaptureFixture[str]) -> None:
    mlflow = pytest.importorskip("mlflow")
    rows = run_twice("mlflow")
    assert "warning" not in capfd.readouterr().err
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("trpo_cli")
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.tags["trpo_cli.group"]) == ("FINISHED", "tried")
    assert run.data.params["algo.name"] == "trpo"
    told = client.get_metric_history(run.info.run_id, "policy/kl")
    assert sorted((m.step, m.value) for m in told) == numbers_of(rows, "policy/kl")
    evaluated = {
        m.step: m.value for m in client.get_metric_history(run.info.run_id, "eval/return_mean")
    }
    assert evaluated == {
        row["step"]: row["return_mean"]
        for row in lines(Path("tried/0/eval.jsonl"))
        if "checkpoint" not in row
    }


def test_mlflow_of_an_interrupted_run(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setattr("trpo_cli.trackers.start.HURRY", 60)  # a new database takes longer than 10
    interrupt_at(monkeypatch, Training, "iterate", 5)
    assert main([*settings("trpo", "CartPole-v1"), "logger=mlflow", "hydra.run.dir=run"]) == 143
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("trpo_cli")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"


def test_trackio(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("trackio")
    rows = run_twice("trackio")
    assert "warning" not in capfd.readouterr().err
    with sqlite3.connect("trackio/trpo_cli.db") as database:
        kept = database.execute(
            "select run_name, step, metrics from metrics order by id"
        ).fetchall()
        [config] = database.execute("select config from configs").fetchone()
    assert len({name for name, _, _ in kept}) == 1
    told = [(step, json.loads(text)) for _, step, text in kept]
    updates = [(step, metrics["policy/kl"]) for step, metrics in told if "policy/kl" in metrics]
    assert updates == numbers_of(rows, "policy/kl")
    assert json.loads(config)["algo.name"] == "trpo"
    assert json.loads(config)["_Group"] == "tried"
    assert sum("eval/return_mean" in metrics for _, metrics in told) == sum(
        "checkpoint" not in row for row in lines(Path("tried/0/eval.jsonl"))
    )
