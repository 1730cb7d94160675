"""Videos on the comparison's page: which ones, how large, and what stands for those left out."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.support.synthetic import evaluation, write_run
from trpo_cli.commands.compare import main
from trpo_cli.compare import films

HEAD = b"\0\0\0\x20ftypisom"
STEPS = 24_000


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """trpo and ppo, three seeds each, whose final returns rise with the seed."""
    for algo in ("trpo", "ppo"):
        for seed in range(3):
            lines = [evaluation(STEPS, 100.0 + seed)]
            write_run(tmp_path / "runs" / algo / str(seed), algo, seed=seed, evals=lines)
    return tmp_path / "runs"


def record(run: Path, name: str, data: bytes) -> None:
    (run / "videos").mkdir(exist_ok=True)
    (run / "videos" / name).write_bytes(data)


def page(runs: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    out = runs.parent / "out"
    assert main([str(runs), "--videos", "--json", "--out", str(out)]) == 0
    return (out / "report.html").read_text(), json.loads(capsys.readouterr().out)["notes"]


def shown(html: str) -> list[bytes]:
    parts = html.split('src="data:video/mp4;base64,')[1:]
    return [base64.b64decode(part.partition('"')[0]) for part in parts]


def test_the_first_episode_of_the_newest_video_of_the_run_in_the_middle(runs, capsys):
    for seed in range(3):
        run = runs / "trpo" / str(seed)
        for name in ("999_0.mp4", "eval_24000_sampled_1.mp4", "eval_24000_sampled_0.mp4"):
            record(run, name, HEAD + f"{seed} {name}".encode())
    html, notes = page(runs, capsys)
    assert shown(html) == [HEAD + b"1 eval_24000_sampled_0.mp4"]
    assert "seed 1, final return 101; eval_24000_sampled_0.mp4" in html
    assert [note for note in notes if note.startswith("ppo on ") and "--video 1" in note]
    assert "http://" not in html.split('id="videos"')[1].split("</section>")[0]


def test_what_is_too_large_is_left_out_and_said(runs, capsys, monkeypatch):
    monkeypatch.setattr(films, "LARGEST", 100)
    monkeypatch.setattr(films, "ALL", 150)
    record(runs / "trpo" / "0", "1_0.mp4", HEAD.ljust(101))
    record(runs / "ppo" / "0", "1_0.mp4", HEAD.ljust(100))
    html, notes = page(runs, capsys)
    assert shown(html) == [HEAD.ljust(100)]
    assert sum("trpo/0/videos/1_0.mp4 is left out" in note for note in notes) == 1
    record(runs / "trpo" / "0", "1_0.mp4", HEAD.ljust(99))  # each is small enough, both are not
    html, notes = page(runs, capsys)
    assert len(shown(html)) == 1 and sum("is left out" in note for note in notes) == 1


def test_nothing_outside_of_a_run_gets_into_the_page(runs, capsys):
    secret = runs.parent / "secret"
    secret.write_bytes(HEAD + b"secret")
    (runs / "trpo" / "0" / "videos").mkdir()
    (runs / "trpo" / "0" / "videos" / "1_0.mp4").symlink_to(secret)
    record(runs / "ppo" / "0", "1_0.mp4", b"<script>alert(1)</script>")
    html, notes = page(runs, capsys)
    assert shown(html) == [] and "alert(1)" not in html
    assert any(note.endswith("is left out: it is no MP4.") for note in notes)
