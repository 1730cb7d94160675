"""``trpo-compare --against reference``: what is printed, drawn and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reference.results import result
from tests.support.synthetic import write_run
from trpo_cli.commands.compare import main
from trpo_cli.reference import store
from trpo_cli.reference.store import Result


def like(final: float, seed: int) -> Result:
    """As `write_run` makes them: a line from 20 to `final`."""
    steps = store.spaced(4000.0, 24_000.0, 50)
    returns = 20 + (final - 20) * steps / 24_000
    return result(seed, final, steps=steps, returns=returns, total_steps=24_000)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    finals = (900.0, 950.0, 1000.0, 1050.0, 1100.0)
    (tmp_path / "store").mkdir()
    store.add(tmp_path / "store", [like(final, seed) for seed, final in enumerate(finals)])
    monkeypatch.setattr(store, "packaged", lambda: tmp_path / "store")
    for seed in (0, 1):
        write_run(tmp_path / "good" / str(seed), seed=seed, final=980.0 + 30 * seed)
        write_run(tmp_path / "bad" / str(seed), seed=seed, final=500.0 + 30 * seed)
    return tmp_path


def test_healthy_and_broken_runs_are_told_apart(here, capsys):
    assert main(["good", "--against", "reference", "--no-files"]) == 0
    assert "As expected: the mean of 2 such runs lies" in capsys.readouterr().out
    assert main(["bad", "--against", "reference", "--no-files"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "trpo on Hopper-v4 lies below all 5 reference runs after 24,000 steps" in said
    assert "Lower than expected" in said


def test_the_report_shows_them(here, capsys):
    assert main(["bad", "--against", "reference", "--out", "report"]) == 0
    page = (here / "report" / "report.html").read_text()
    assert "trpo (reference)" in page and "Among the reference runs" in page
    record = json.loads((here / "report" / "comparison.json").read_text())
    (row,) = record["tables"]["reference"]
    assert row["verdict"] == "lower" and row["reference_runs"] == 5
    assert record["reference"][0].startswith("trpo on Hopper-v4 lies below all 5")
    # Statistics are of the runs that were given.
    assert record["runs"] == 2 and len(record["tables"]["performance"]) == 1


def test_where_nothing_is_stored_that_is_said(here, capsys):
    write_run(here / "other" / "0", algo="npg", env="CartPole-v1", backend="gymnasium")
    assert main(["other", "--against", "reference", "--no-files"]) == 0
    assert "No reference run is stored of npg on CartPole-v1" in capsys.readouterr().out


def test_without_it_nothing_is_said(here, capsys):
    assert main(["good", "--no-files"]) == 0
    assert "reference" not in capsys.readouterr().out


def test_curves_of_another_metric_have_no_reference(here):
    assert main(["good", "--against", "reference", "--curve", "policy/kl", "--out", "r"]) == 0
    assert "trpo (reference)" not in (here / "r" / "report.html").read_text()
