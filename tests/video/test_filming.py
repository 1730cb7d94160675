"""eval.video: what a run writes beside its rows, and that none of its numbers depends on it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support import running
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.launch import check_surroundings
from trpo_cli.errors import UserError
from trpo_cli.runs.chain import timed
from trpo_cli.training.evaluation import Abandoned
from trpo_cli.training.filming import Filmer
from trpo_cli.training.loop import train

av = pytest.importorskip("av", reason="PyAV, of the extra video, is not installed")
ENV = "tests.support.drawn_env:{}"
STEPS = 2 * running.BATCH


def trained(
    folder: Path,
    video: int = 0,
    *,
    name: str = "Drawn-v0",
    steps: int = STEPS,
    resume: bool = False,
) -> Path:
    folder.mkdir(exist_ok=True)
    settings = {"total_steps": steps, "eval.every": running.BATCH, "eval.episodes": 2}
    settings["eval.video"] = video
    train(running.config("ppo", ENV.format(name), **settings), folder, ["trpo-run"], resume=resume)
    return folder


def numbers(run_dir: Path, name: str) -> list[dict[str, Any]]:
    rows = running.lines(run_dir / name)
    return [{key: value for key, value in row.items() if not timed(key)} for row in rows]


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "videos").iterdir())


def test_the_numbers_are_those_of_a_run_without(tmp_path):
    without, filmed = trained(tmp_path / "a"), trained(tmp_path / "b", 1)
    for name in ("metrics.jsonl", "eval.jsonl"):
        assert numbers(filmed, name) == numbers(without, name)
    assert names(filmed) == ["128_0.mp4", "256_0.mp4"] and not (without / "videos").exists()
    events = EventAccumulator(str(filmed)).Reload()
    shown = events.Images("eval/video")
    assert [image.step for image in shown] == [128, 256]
    gif = Image.open(io.BytesIO(shown[0].encoded_image_string))
    assert gif.size == (shown[0].width, shown[0].height) and max(gif.size) == 240


def test_a_resumed_run_records_what_was_missing(tmp_path):
    whole = trained(tmp_path / "whole", 2)
    parts = trained(tmp_path / "parts", 2, steps=running.BATCH)
    trained(parts, 2, resume=True)
    assert names(parts) == names(whole) == [f"{s}_{n}.mp4" for s in (128, 256) for n in (0, 1)]
    assert numbers(parts, "eval.jsonl")[:1] == numbers(whole, "eval.jsonl")[:1]


def test_a_run_goes_on_without_videos_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "run" / "videos").symlink_to(tmp_path / "outside")
    trained(tmp_path / "run", 1)
    assert capsys.readouterr().err.count("warning: no more videos from here on") == 1
    assert running.status(tmp_path / "run")[0] == "finished"
    assert list((tmp_path / "outside").iterdir()) == []


def test_another_course_is_told_once(tmp_path, capsys):
    trained(tmp_path / "run", 1, name="Moody-v0")
    assert capsys.readouterr().err.count("the video shows another course") == 1


def test_a_run_that_is_to_stop_leaves_no_part_of_a_video(tmp_path):
    settings: dict[str, Any] = {"eval.video": 1}
    filmer = Filmer(running.config("ppo", ENV.format("Drawn-v0"), **settings), tmp_path)
    episode = (3, np.zeros(4, dtype=np.int64), 0.0)
    with pytest.raises(Abandoned):
        filmer.record(64, [episode], lambda: True, lambda ended, steps: None)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("env=tests.support.drawn_env:Blind-v0", "eval.video=3: env=.*Blind-v0 cannot be drawn"),
        ("eval.episodes=2", "eval.video=3 records more episodes"),
    ],
)
def test_what_cannot_be_recorded_is_refused_beforehand(said, words):
    with pytest.raises(UserError, match=words):
        check_surroundings(config_of("eval.video=3", "algo=ppo", said))
