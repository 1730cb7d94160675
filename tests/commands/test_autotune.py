"""``trpo-run --autotune``: which settings it tries, what it takes, what it prints and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from trpo_cli.commands import autotune
from trpo_cli.commands import run as cli
from trpo_cli.commands.autotune import (
    ENVS,
    MARGIN,
    STEPS,
    VECTOR,
    WORKERS,
    Settings,
    candidates,
    climb,
)

FIRST = {ENVS: 8, STEPS: 12, "threads": 4, "env.workers": 0}


def test_candidates_keep_the_batch_and_the_machine() -> None:
    """Powers of two and all cores; of environments, those that divide the 96 steps of an update,
    from a quarter to four times as many."""
    envs = [(s[ENVS], s[STEPS]) for s in candidates(ENVS, FIRST, 6)]
    assert envs == [(2, 48), (4, 24), (16, 6), (32, 3)]
    assert [s["threads"] for s in candidates("threads", FIRST, 6)] == [1, 2, 6]
    assert [s["env.workers"] for s in candidates("env.workers", FIRST, 16)] == [1, 2, 4, 8]
    assert list(candidates("threads", {**FIRST, "threads": 1}, 1)) == []


def rate(settings: Settings) -> float:
    """Best with 4 workers, then 2 threads, then 16 environments."""
    worth = {"env.workers": 4, "threads": 2, ENVS: 16}
    return 100.0 * 1.5 ** sum(settings[key] == value for key, value in worth.items())


def test_it_climbs_to_the_fastest() -> None:
    same, best, speeds = climb(FIRST, set(), 8, rate)
    assert same == {**FIRST, "threads": 2, "env.workers": 4}
    assert best == {ENVS: 16, STEPS: 6, "threads": 2, "env.workers": 4}
    assert max(speeds.values()) == 100 * 1.5**3
    assert len(speeds) == 1 + 4 + 3 + 4  # the first, workers 1 2 4 8, threads 1 2 8, environments


@pytest.mark.parametrize("key", [STEPS, ENVS])
def test_what_a_person_gives_stays(key: str) -> None:
    same, best, speeds = climb(FIRST, {"threads", key}, 8, rate)
    assert same == best == {**FIRST, "env.workers": 4} and len(speeds) == 5


def test_a_vector_environment_is_tried_without_workers() -> None:
    """With the numbers of environments after it; not where one of the two was given."""

    def vectors(settings: Settings) -> float:
        return 100.0 * (1 + (settings[VECTOR] == "native") + (settings[ENVS] == 16))

    first: Settings = {**FIRST, WORKERS: 2, VECTOR: "auto"}
    same, best, _ = climb(first, set(), 4, vectors)
    assert same == first
    assert best == {**first, WORKERS: 0, VECTOR: "native", ENVS: 16, STEPS: 6}
    for key in (WORKERS, VECTOR):
        assert climb(first, {key}, 4, vectors)[1] == {**first, ENVS: 16, STEPS: 6}
    assert list(candidates(VECTOR, best, 4)) == []
    given = {**first, VECTOR: "workers"}
    assert [s[WORKERS] for s in candidates(WORKERS, given, 4)] == [1, 4]


def test_noise_is_no_reason() -> None:
    def barely(settings: Settings) -> float:
        return 100.0 if settings == FIRST else 100.0 * (MARGIN - 0.001)

    assert climb(FIRST, set(), 8, barely)[:2] == (FIRST, FIRST)


def test_it_trains_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With real runs of an environment in Python, whose fastest settings can be used then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(autotune, "SECONDS", 0.0)
    monkeypatch.setattr(autotune, "usable_cores", lambda: 2)
    (tmp_path / "conf/experiment").mkdir(parents=True)
    file = "conf/experiment/fast.yaml"
    words = ["env=CartPole-v1", "algo=vpg", "sampler.num_envs=4", "sampler.steps_per_env=16"]
    assert cli.main(["--autotune", "--autotune-file", file, *words]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("vpg on CartPole-v1: 64 steps per update, 2 cores")
    same = [line for line in lines if "/s  sampler.num_envs=4  sampler.steps_per_env=16" in line]
    assert len(same) == 5
    assert [line for line in same if "native" in line] == [
        line for line in same if line.endswith("env.vector=native  (another random stream)")
    ]
    assert sum("native" in line for line in same) == 1
    assert err == "" and f"written to {file}" in out
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
    found = yaml.safe_load((tmp_path / file).read_text())
    assert found["sampler"] == {"num_envs": 4, "steps_per_env": 16}
    assert found["threads"] in (1, 2) and found["env"]["workers"] in (0, 1, 2)
    assert cli.main(["--cfg", "job", "-cd", "conf", "+experiment=fast", "env=CartPole-v1"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["threads"] == found["threads"]
    assert (shown["env"]["workers"], shown["env"]["vector"]) == tuple(found["env"].values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--autotune", "-m", "seed=1,2"], "leave -m out"),
        (["--autotune", "resume=x"], r"leave resume=\.\.\. out"),
        (["--autotune", "sampler=vine"], "sampler=single_path, and this one has sampler=vine"),
        (["--autotune", "--autotune-file", "a.txt"], r"has to end in \.yaml"),
        (["--autotune", "--autotune-file", "no/a.yaml"], "has no folder no"),
        (["--autotune-file", "a.yaml"], "belongs to --autotune"),
    ],
)
def test_refusals(words: list[str], told: str, refused: Callable[[list[str]], str]) -> None:
    assert told.replace("\\", "") in " ".join(refused(words).split())
