import json

import pytest

from trpo_cli.runs.cut import Moment, cut, wrong
from trpo_cli.runs.event_file import EventFile, events_files, records
from trpo_cli.runs.logger import MetricsLogger

RECORD = {
    "deterministic": False,
    "episodes": 1,
    "return_mean": 1.0,
    "return_std": 0.0,
    "returns": [1.0],
    "seeds": [5],
}


def fill(folder, steps=(10, 20, 30), evaluations=(20, 30)):
    log = MetricsLogger(folder, {"seed": 1})
    for step in steps:
        log.write({"step": step, "a": step / 2})
        if step in evaluations:
            log.write_eval({**RECORD, "step": step})
    log.close()


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def shown(folder):
    """(step, tag) of every value in the events file."""
    from tensorboard.compat.proto import event_pb2

    (path,) = events_files(folder)
    events = [event_pb2.Event.FromString(record) for record in records(path.read_bytes())]
    return [(event.step, value.tag) for event in events for value in event.summary.value]


class TestCut:
    def test_what_is_later_goes(self, tmp_path):
        fill(tmp_path)
        cut(tmp_path, Moment(20, 2, 1, evaluated=True))
        assert steps(tmp_path / "metrics.jsonl") == [10, 20]
        assert steps(tmp_path / "eval.jsonl") == [20]
        tags = ["eval/return_mean", "eval/return_std"]
        assert shown(tmp_path) == [(10, "a"), (20, "a"), *((20, tag) for tag in tags)]

    def test_once_more_changes_nothing(self, tmp_path):
        fill(tmp_path)
        for _ in range(2):
            cut(tmp_path, Moment(20, 2, 1, evaluated=True))
        files = {p: (p.stat().st_ino, p.read_bytes()) for p in tmp_path.iterdir()}
        cut(tmp_path, Moment(20, 2, 1, evaluated=True))
        assert {p: (p.stat().st_ino, p.read_bytes()) for p in tmp_path.iterdir()} == files

    def test_an_evaluation_of_the_end_goes_with_it(self, tmp_path):
        fill(tmp_path, evaluations=(30,))
        cut(tmp_path, Moment(30, 3, 0, evaluated=False))
        assert steps(tmp_path / "metrics.jsonl") == [10, 20, 30]
        assert steps(tmp_path / "eval.jsonl") == []
        assert shown(tmp_path) == [(10, "a"), (20, "a"), (30, "a")]

    def test_the_best_checkpoints_line_goes(self, tmp_path):
        fill(tmp_path)
        with open(tmp_path / "eval.jsonl", "a") as file:
            file.write(json.dumps({**RECORD, "step": 10, "checkpoint": "best"}) + "\n")
        cut(tmp_path, Moment(30, 3, 2, evaluated=True))
        assert steps(tmp_path / "eval.jsonl") == [20, 30]

    def test_a_torn_end(self, tmp_path):
        fill(tmp_path)
        for name in ("metrics.jsonl", "eval.jsonl"):
            with open(tmp_path / name, "a") as file:
                file.write('{"step": 4')
        (path,) = events_files(tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole + b"\x10\x00\x00\x00\x00\x00\x00\x00\x00")
        (tmp_path / ".metrics.jsonl.tmp").write_text("{")
        cut(tmp_path, Moment(30, 3, 2, evaluated=True))
        assert steps(tmp_path / "metrics.jsonl") == [10, 20, 30]
        assert steps(tmp_path / "eval.jsonl") == [20, 30]
        assert (30, "a") in shown(tmp_path)
        assert not list(tmp_path.glob(".*"))

    def test_everything(self, tmp_path):
        fill(tmp_path)
        cut(tmp_path, Moment(0, 0, 0, evaluated=True))
        assert (tmp_path / "metrics.jsonl").read_bytes() == b""
        assert shown(tmp_path) == []
        fill(tmp_path)
        assert steps(tmp_path / "metrics.jsonl") == [10, 20, 30]
        assert len([tag for _, tag in shown(tmp_path) if tag == "a"]) == 3

    def test_an_events_file_without_a_record_goes(self, tmp_path):
        (tmp_path / "events.out.tfevents.1.host.1.0").write_bytes(b"\x01\x02")
        cut(tmp_path, Moment(0, 0, 0, evaluated=True))
        assert events_files(tmp_path) == []

    def test_an_empty_folder(self, tmp_path):
        cut(tmp_path, Moment(0, 0, 0, evaluated=True))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("iterations", "evaluations", "words"),
        [(4, 2, "metrics.jsonl has 3 of the 4 rows"), (3, 3, "eval.jsonl has 2 of the 3 rows")],
    )
    def test_missing_rows(self, tmp_path, iterations, evaluations, words):
        fill(tmp_path)
        assert words in wrong(tmp_path, Moment(40, iterations, evaluations, evaluated=True))


class TestGoOn:
    def test_one_file_with_the_hyperparameters_once(self, tmp_path):
        fill(tmp_path)
        cut(tmp_path, Moment(20, 2, 1, evaluated=True))
        log = MetricsLogger(tmp_path, {"seed": 1})
        log.write({"step": 30, "a": 1.0})
        log.close()
        tags = [tag for _, tag in shown(tmp_path)]
        assert tags.count("_hparams_/session_start_info") == 1
        assert tags.count("_hparams_/session_end_info") == 1
        assert tags.count("a") == 3

    def test_the_first_rows_keys_still_hold(self, tmp_path):
        fill(tmp_path)
        log = MetricsLogger(tmp_path, {})
        log.write({"step": 40, "a": 1.0})
        with pytest.raises(ValueError, match="new"):
            log.write({"step": 50, "a": 1.0, "new": 1.0})
        log.close()

    @pytest.mark.parametrize("position", [5, 20, -3])
    def test_reading_stops_at_a_changed_byte(self, tmp_path, position):
        events = EventFile(tmp_path)
        events.scalars(1, {"a": 1.0})
        events.close()
        data = bytearray(events.path.read_bytes())
        assert len(list(records(bytes(data)))) == 2
        data[position] ^= 1
        assert len(list(records(bytes(data)))) == (1 if position < 0 else 0)
