import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.plugins.hparams import plugin_data_pb2

from tests.support.running import lines
from trpo_cli.errors import RunFailed
from trpo_cli.runs import logger as logger_module
from trpo_cli.runs.event_file import EventFile, crc32c
from trpo_cli.runs.logger import MetricsLogger, append_eval

ROW = {"step": 10, "policy/kl": 0.25, "trust_region/accepted": 1, "trust_region/reason": None}
RECORD = {
    "step": 10,
    "deterministic": False,
    "episodes": 2,
    "return_mean": 2.0,
    "return_std": 1.0,
    "returns": [1.0, 3.0],
    "seeds": [5, 6],
    "lengths": [4, 8],
}


def read_back(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


class TestMetricsFile:
    def test_rows_come_back_in_order_with_the_first_rows_keys(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        log.write(ROW)
        log.write({"step": 20, "trust_region/reason": "no descent", "trust_region/accepted": 0})
        rows = lines(tmp_path / "metrics.jsonl")  # before close: each row is written through
        assert rows[0] == ROW
        assert list(rows[1]) == list(ROW)
        assert rows[1]["policy/kl"] is None and rows[1]["trust_region/reason"] == "no descent"
        log.close()

    def test_a_key_that_was_not_in_the_first_row_is_an_error(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        log.write(ROW)
        with pytest.raises(ValueError, match="policy/entropy"):
            log.write({**ROW, "policy/entropy": 1.0})
        assert len(lines(tmp_path / "metrics.jsonl")) == 1

    def test_a_run_of_a_version_with_fewer_metrics_goes_on_with_those(self, tmp_path):
        older = MetricsLogger(tmp_path, {})
        older.write(ROW)
        older.close()
        log = MetricsLogger(tmp_path, {})
        for step in (20, 30):
            log.write({**ROW, "step": step, "policy/newer": 1.0})
        with pytest.raises(ValueError, match="policy/entropy"):
            log.write({**ROW, "policy/newer": 1.0, "policy/entropy": 1.0})
        log.close()
        rows = [ROW, {**ROW, "step": 20}, {**ROW, "step": 30}]
        assert lines(tmp_path / "metrics.jsonl") == rows

    def test_what_is_not_finite_becomes_null(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        log.write({"step": 1, "a": math.nan, "b": math.inf, "c": -math.inf, "d": np.float64("nan")})
        assert lines(tmp_path / "metrics.jsonl") == [
            {"step": 1, "a": None, "b": None, "c": None, "d": None}
        ]

    def test_numpy_scalars_are_plain_numbers(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        row: dict[str, Any] = {"step": np.int64(3), "a": np.float32(0.5), "b": np.bool_(True)}
        log.write(row)
        assert lines(tmp_path / "metrics.jsonl") == [{"step": 3, "a": 0.5, "b": True}]

    def test_floats_come_back_to_the_last_bit(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        log.write({"step": 1, "a": 0.1 + 0.2, "b": 1e-310})
        assert lines(tmp_path / "metrics.jsonl")[0]["a"] == 0.1 + 0.2
        assert lines(tmp_path / "metrics.jsonl")[0]["b"] == 1e-310

    def test_a_full_disk_fails_the_run(self, tmp_path, monkeypatch):
        log = MetricsLogger(tmp_path, {})

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(logger_module, "write_all", full)
        with pytest.raises(RunFailed, match="No space left"):
            log.write(ROW)


class TestTensorBoard:
    def test_same_names_steps_and_values_in_one_file(self, tmp_path):
        log = MetricsLogger(tmp_path, {"seed": 3})
        log.write(ROW)
        log.write({**ROW, "step": 2**40, "policy/kl": 0.75, "trust_region/reason": "too far"})
        log.write_eval(RECORD)
        log.close()
        log.close()
        assert len(list(tmp_path.glob("**/events.out.tfevents.*"))) == 1
        events = read_back(tmp_path)
        assert set(events.Tags()["scalars"]) == {
            "policy/kl",
            "trust_region/accepted",
            "eval/return_mean",
            "eval/return_std",
            "eval/length_mean",
        }
        kl = [(e.step, e.value) for e in events.Scalars("policy/kl")]
        assert kl == [(10, 0.25), (2**40, 0.75)]
        assert [(e.step, e.value) for e in events.Scalars("eval/length_mean")] == [(10, 6.0)]

    def test_null_values_are_left_out(self, tmp_path):
        log = MetricsLogger(tmp_path, {})
        log.write({"step": 1, "a": math.nan, "b": 1.0})
        log.close()
        assert read_back(tmp_path).Tags()["scalars"] == ["b"]

    def test_hyperparameters_are_in_the_same_run(self, tmp_path):
        given = {"seed": 3, "algo.name": "trpo", "algo.max_kl": 0.02, "debug": False, "sizes": [8]}
        log = MetricsLogger(tmp_path, {**given, "threads": None})
        log.close()
        plugin = read_back(tmp_path).PluginTagToContent("hparams")
        start = plugin_data_pb2.HParamsPluginData.FromString(
            plugin["_hparams_/session_start_info"]
        ).session_start_info
        found: dict[str, Any] = {
            name: getattr(value, str(value.WhichOneof("kind")))
            for name, value in start.hparams.items()
        }
        assert found == {**given, "sizes": "[8]", "threads": "null"}

    def test_the_plugin_lists_the_parameters_of_every_run_and_the_metrics(self, tmp_path):
        """Two algorithms under one folder: neither hides the other's hyperparameters."""
        from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.context import RequestContext
        from tensorboard.plugins.base_plugin import TBContext
        from tensorboard.plugins.hparams.backend_context import Context

        for name, key in (("a", "algo.max_kl"), ("b", "algo.clip_range")):
            (tmp_path / name).mkdir()
            log = MetricsLogger(tmp_path / name, {"seed": 1, key: 0.1})
            log.write({"step": 1, "train/return_recent": 1.0})
            log.write_eval(RECORD)
            log.close()
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
        context = Context(TBContext(data_provider=provider))
        request = RequestContext()
        experiment = context.experiment_from_metadata(
            request,
            "",
            True,
            context.hparams_metadata(request, ""),
            context.hparams_from_data_provider(request, "", None),
        )
        names = {info.name for info in experiment.hparam_infos}
        assert names == {"seed", "algo.max_kl", "algo.clip_range"}
        metrics = {info.name.tag for info in experiment.metric_infos}
        assert metrics >= {"train/return_recent", "eval/return_mean"}

    def test_training_goes_on_when_there_can_be_no_events_file(self, tmp_path, monkeypatch, capsys):
        def full(self: EventFile, folder: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(EventFile, "__init__", full)
        log = MetricsLogger(tmp_path, {})
        log.write(ROW)
        log.close()
        assert lines(tmp_path / "metrics.jsonl") == [ROW]
        assert capsys.readouterr().err.count("\n") == 1

    def test_training_goes_on_when_the_events_file_fails(self, tmp_path, monkeypatch, capsys):
        def full(self: EventFile, step: int, values: dict[str, float]) -> None:
            raise OSError(28, "No space left on device")

        log = MetricsLogger(tmp_path, {})
        monkeypatch.setattr(EventFile, "scalars", full)
        log.write(ROW)
        log.write({**ROW, "step": 20})
        log.close()
        assert len(lines(tmp_path / "metrics.jsonl")) == 2
        assert capsys.readouterr().err.count("warning") == 1

    @pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 8, 1023, 1024, 1025, 1029, 5000])
    def test_checksum_is_tensorboards(self, size):
        data = np.random.default_rng(size).bytes(size)
        assert crc32c(data) == pywrap_tensorflow.crc32c(data)

    def test_checksum_of_the_published_example(self):
        assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


class TestEvalFile:
    def test_lines_are_appended(self, tmp_path):
        append_eval(tmp_path, RECORD, None)
        append_eval(tmp_path, {**RECORD, "return_mean": math.nan}, None)
        assert lines(tmp_path / "eval.jsonl") == [RECORD, {**RECORD, "return_mean": None}]

    def test_a_missing_key_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match="seeds"):
            append_eval(tmp_path, {k: v for k, v in RECORD.items() if k != "seeds"}, None)


def test_a_row_is_cheap(tmp_path):
    """65 microseconds when measured; ten times that is a mistake, not a busy machine."""
    log = MetricsLogger(tmp_path, {})
    row: dict[str, Any] = {"step": 0, **{f"group/metric_{i}": i + 0.123456789 for i in range(35)}}
    log.write(row)
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        log.write(row)
        seconds.append(time.perf_counter() - start)
    assert float(np.median(seconds)) < 650e-6
