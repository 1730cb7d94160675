"""What ``trpo-compare`` says where runs are short, few, of other arguments, or compared again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.synthetic import evaluation, write_run, write_sample
from trpo_cli.commands.compare import main

TWO = {("Hopper-v4", "trpo"): [100.0, 110.0], ("Hopper-v4", "ppo"): [300.0, 310.0]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def cells(page: str, heading: str) -> list[str]:
    """The cells below a heading of the page, up to the next heading."""
    part = page.split(f">{heading}</h")[1].split("<h")[0]
    return re.findall(r"<td[^>]*>(.*?)</td>", part)


def test_a_misspelt_metric_may_be_one_of_several(here, capsys):
    write_sample(here / "runs", TWO)
    assert main(["runs", "--curve", "train/retrun_x", "--no-files"]) == 2
    said = capsys.readouterr().err
    assert " or " in said.split("Did you mean")[1] and "train/return_mean" in said


class TestWithoutEpisodes:
    """On Acrobot-v1 no training episode ends within 6,000 steps of eight environments."""

    @pytest.fixture
    def sweep(self, here: Path) -> Path:
        write_sample(here / "runs", {("CartPole-v1", a): [90.0, 80.0] for a in ("trpo", "ppo")})
        return here / "runs"

    @staticmethod
    def silent(folder: Path, **more: Any) -> None:
        """A run whose rows have no return."""
        row = {"train/return_mean": None, "train/return_recent": None, "train/episodes": 0}
        write_run(folder, env="Acrobot-v1", row=lambda i: row, **more)

    def test_they_are_left_out_by_name_and_the_rest_is_compared(self, sweep, capsys):
        for seed in range(2):
            self.silent(sweep / f"a{seed}", seed=seed, evals=[])
        assert main(["runs", "--no-files"]) == 0
        printed = capsys.readouterr().out
        note = "note: All 2 runs on Acrobot-v1 are left out (e.g. runs/a0): no training episode"
        assert note in printed and "CartPole-v1" in printed

    @pytest.mark.parametrize("curve", [[], ["--curve", "eval/return_mean"]])
    def test_a_single_evaluation_is_enough(self, sweep, capsys, curve):
        for seed, final in enumerate((-480.0, -490.0)):
            self.silent(sweep / f"a{seed}", seed=seed, evals=[evaluation(24_000, final)])
        found = as_json(capsys, "runs", "--out", "report", *curve)
        assert not any("left out" in note for note in found["notes"])
        finals = {row["env"]: row["final_mean"] for row in found["tables"]["ranking"]}
        assert finals["Acrobot-v1"] == -485.0
        page = (sweep.parent / "report" / "report.html").read_text()
        assert "return of the evaluations during training" in page

    def test_evaluations_do_not_stand_beside_training_returns(self, sweep, capsys):
        """A run of CartPole-v1 has no evaluation, so that all are judged by training episodes."""
        write_run(sweep / "bare", "ppo", env="CartPole-v1", seed=9, evals=[])
        self.silent(sweep / "a0", evals=[evaluation(24_000, -480.0)])
        found = as_json(capsys, "runs", "--no-files")
        assert {row["env"] for row in found["tables"]["ranking"]} == {"CartPole-v1"}
        assert "because other runs have none of the same kind" in found["notes"][0]

    def test_a_part_of_an_environment(self, sweep, capsys):
        self.silent(sweep / "a0", evals=[])
        write_run(sweep / "a1", env="Acrobot-v1", seed=1)
        notes = as_json(capsys, "runs", "--no-files")["notes"]
        assert "1 of 2 runs on Acrobot-v1 are left out" in notes[0]
        assert "may flatter" in notes[0]

    def test_where_no_run_has_any_that_is_an_error(self, here, capsys):
        for seed in range(2):
            self.silent(here / str(seed), seed=seed, evals=[])
        assert main([".", "--no-files"]) == 2
        said = capsys.readouterr().err
        assert "None of the 2 runs can be compared. All 2 runs on Acrobot-v1" in said
        assert "Train longer" in said


class TestThreshold:
    def test_a_run_that_was_stopped_is_later_than_its_end_not_than_its_budget(self, here, capsys):
        """Both stopped at 23,551 of a million steps at 100, far below 9,999."""
        for seed in range(2):
            write_run(here / "runs" / str(seed), seed=seed, steps=23_551, total_steps=1_000_000,
                      status="interrupted")  # fmt: skip
        arguments = ["runs", "--unfinished", "--threshold", "9999", "--no-files"]
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert "> 23,551 (0 of 2)" in printed and "1,000,000 (0" not in printed


class TestPublished:
    def test_numbers_of_other_budgets_are_not_beside_the_curves(self, here, capsys):
        for seed in range(2):
            write_run(here / "runs" / str(seed), "ppo", seed=seed, steps=80_000,
                      total_steps=1_000_000, status="interrupted")  # fmt: skip
        arguments = ["runs", "--unfinished", "--against", "published", "--out", "report"]
        assert main(arguments) == 0
        page = (here / "report" / "report.html").read_text()
        assert "Hollow markers" not in page
        words = "Published numbers of ppo on Hopper-v4 are of 1,000,000, 2,000,000, 3,000,000"
        assert words in page and words in capsys.readouterr().out
        assert "these runs made 80,000" in page and "not 80,000" in page

    def test_numbers_of_the_same_budget_are(self, here):
        for seed in range(2):
            write_run(here / "runs" / str(seed), "ppo", seed=seed, steps=1_000_000)
        assert main(["runs", "--against", "published", "--out", "report"]) == 0
        assert "Hollow markers" in (here / "report" / "report.html").read_text()

    def test_where_nothing_is_published_that_is_said(self, here, capsys):
        write_sample(here / "runs", {("CartPole-v1", "trpo"): [1.0, 2.0]}, backend="gymnasium")
        assert main(["runs", "--against", "published", "--no-files"]) == 0
        assert "Nothing is published of trpo on CartPole-v1" in capsys.readouterr().out


class TestCurve:
    def test_the_scores_do_not_depend_on_which_curve_is_drawn(self, here, capsys):
        samples = {(e, a): [v, v + 9.0] for e, v in (("Hopper-v4", 300.0), ("Ant-v4", 90.0))
                   for a in ("trpo", "ppo")}  # fmt: skip
        write_sample(here / "runs", samples)
        default = as_json(capsys, "runs", "--no-files")["tables"]
        for curve in ("policy/kl", "eval/return_mean", "train/return_recent"):
            assert as_json(capsys, "runs", "--no-files", "--curve", curve)["tables"] == default

    def test_evaluations_are_the_curve_where_all_runs_have_them(self, here):
        """The training episodes of the last iterations lag behind at 230, as after fast learning;
        the policy has 500."""
        lines = [evaluation(6000 * k, 125.0 * k) for k in range(5)]
        for seed in range(2):
            write_run(here / "runs" / str(seed), seed=seed, final=230.0, evals=lines)
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        assert "return of the evaluations during training" in page

    def test_else_each_iterations_own_episodes_without_a_lag(self, here):
        """Learnt halfway: 20, then 500. A mean over 100 episodes would still say 230 at the end."""

        def late(i: int) -> dict[str, Any]:
            return {"train/return_mean": 20.0 if i < 6 else 500.0, "train/return_recent": 230.0}

        for seed in range(2):
            write_run(here / "runs" / str(seed), seed=seed, final=500.0, row=late)
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        assert "each iteration&#x27;s own training episodes" in page
        assert "Large dots: the final evaluation of the last policy" in page
        assert '"x":24000.0,"mean":500.0,"std":null,"final":true' in page
        assert main(["runs", "--curve", "train/return_recent", "--out", "late"]) == 0
        assert "it lags" in (here / "late" / "report.html").read_text()

    def test_an_environment_without_evaluations_takes_them_from_no_other(self, here):
        lines = [evaluation(4800 * k, 10.0 * k) for k in range(1, 6)]
        write_run(here / "runs" / "a", env="Ant-v4", evals=lines)
        write_run(here / "runs" / "b", env="Hopper-v4")
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        assert "return of the evaluations during training (Ant-v4); return of each" in page
        assert page.count('"final":true') == 3  # on Hopper-v4, along three axes

    def test_over_updates(self, here):
        write_sample(here / "runs", TWO)
        assert main(["runs", "--x", "updates", "--out", "report"]) == 0
        assert ">updates</text>" in (here / "report" / "curves.svg").read_text()


class TestFolder:
    def test_files_of_the_comparison_before_go_and_others_stay(self, here):
        write_sample(here / "two", TWO)
        write_sample(here / "one", {("Ant-v4", "trpo"): [1.0, 2.0]})
        assert main(["two", "--out", "report"]) == 0
        (here / "report" / "mine.csv").write_text("kept")
        first = {path.name for path in (here / "report").iterdir()}
        assert {"across.svg", "across.png", "pairs.csv"} <= first
        assert main(["one", "--out", "report"]) == 0
        assert main(["one", "--out", "fresh"]) == 0
        left = {path.name for path in (here / "report").iterdir()}
        assert left == {path.name for path in (here / "fresh").iterdir()} | {"mine.csv"}

    def test_a_record_of_files_elsewhere_removes_nothing_there(self, here):
        """The record is a file like any other: names in it are taken as names, not as paths."""
        write_sample(here / "two", TWO)
        (here / "report").mkdir()
        (here / "precious.csv").write_text("kept")
        record = {"files": ["../precious.csv", str(here / "precious.csv"), "..", ""]}
        (here / "report" / "comparison.json").write_text(json.dumps(record))
        assert main(["two", "--out", "report"]) == 0
        assert (here / "precious.csv").read_text() == "kept"


class TestTests:
    def test_nothing_is_said_of_a_test_where_there_is_one_run(self, here):
        write_sample(here / "runs", {key: values[:1] for key, values in TWO.items()})
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        assert "permutation test asks" not in page
        assert "takes two runs a group at least" in page

    def test_how_low_the_permutation_test_can_go(self, here):
        """Of 2 + 2 runs 6 labellings, each as extreme as its mirror image: 2 / 6."""
        write_sample(here / "runs", TWO)
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        assert "permutation test asks" in page and "it cannot go below 0.33" in page

    def test_updates_stand_under_their_environment(self, here):
        write_sample(here / "runs", {**TWO, ("Ant-v4", "trpo"): [1.0, 2.0]})
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        parts = re.split(r'<section id="updates_([\w-]+)"', page)
        found = {
            env: [cell for cell in cells(part, "Updates in numbers") if cell in ("trpo", "ppo")]
            for env, part in zip(parts[1::2], parts[2::2], strict=True)
        }
        assert found == {"Ant-v4": ["trpo"], "Hopper-v4": ["trpo", "ppo"]}

    def test_measures_that_do_nothing_are_named_and_not_drawn(self, here):
        def row(i: int) -> dict[str, Any]:
            return {"policy/kl": 0.001 * (i + 1)}

        for seed in range(2):
            write_run(here / "runs" / str(seed), seed=seed, row=row)
        assert main(["runs", "--out", "report"]) == 0
        page = (here / "report" / "report.html").read_text()
        drawn = re.findall(r"<figcaption>([\w ]+?) \(", page.split('id="updates_')[1])
        assert drawn == ["KL of an update", "Allowed KL used", "Quadratic model of the KL"]
        assert "the same throughout: " in page and "Rejected updates (0)" in page


class TestGroups:
    def test_by_an_argument_of_the_environment(self, here, capsys):
        for goal in (1, 2):
            for seed in range(2):
                write_run(here / "runs" / f"{goal}{seed}", seed=seed, final=100.0 * goal,
                          env__kwargs={"goal": goal})  # fmt: skip
        assert main(["runs", "--no-files"]) == 2
        assert "different arguments" in capsys.readouterr().err
        found = as_json(capsys, "runs", "--by", "env.kwargs.goal", "--no-files")
        rows = found["tables"]["performance"]
        finals = {row["group"]: row["final_mean"] for row in rows}
        assert finals == {"trpo goal=1": 100.0, "trpo goal=2": 200.0}

    def test_other_arguments_are_still_refused(self, here, capsys):
        for wind, goal in ((0, 1), (1, 2)):
            write_run(here / "runs" / f"{goal}", env__kwargs={"goal": goal, "wind": wind})
        assert main(["runs", "--by", "env.kwargs.goal", "--no-files"]) == 2
        assert "different arguments" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("key", "values"), [("total_steps", (24_000, 12_000)), ("version", ("0.1.0", "0.2.0"))]
    )
    def test_what_runs_are_grouped_by_is_not_mixed(self, here, capsys, key, values):
        for seed, value in enumerate(values):
            changes: dict[str, Any] = {"versions": {"trpo_cli": value}}
            if key == "total_steps":
                changes = {"steps": value}
            write_run(here / "runs" / str(seed), **changes)
        assert main(["runs", "--no-files"]) == 2
        capsys.readouterr()
        found = as_json(capsys, "runs", "--no-files", "--by", key)
        assert len(found["tables"]["performance"]) == 2

    def test_a_group_without_the_setting_is_labelled_without_it(self, here, capsys):
        for i, kl in enumerate((0.01, 0.02)):
            write_run(here / "runs" / f"trpo{i}", algo__max_kl=kl)
        write_run(here / "runs" / "ppo", "ppo")
        found = as_json(capsys, "runs", "--by", "algo.max_kl", "--no-files")
        groups = [row["group"] for row in found["tables"]["performance"]]
        assert groups == ["trpo max_kl=0.01", "trpo max_kl=0.02", "ppo"]
