"""Runs of other tools. other_tools/ppo/CartPole-v1_1 holds what stable-baselines3 2.9 left of 2,048
steps of PPO in two environments."""

from __future__ import annotations

import csv
import json
import os
import re
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto import event_pb2, types_pb2

from tests.support.synthetic import write_run
from trpo_cli.commands.compare import main
from trpo_cli.compare import foreign, foreign_files
from trpo_cli.compare.episodes import EPISODES, POINTS, ROWS, WINDOW, Measured, columns_of
from trpo_cli.compare.foreign import find_foreign, source_of
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.read import RETURN, Found, find_runs
from trpo_cli.compare.refusals import refuse_mixtures
from trpo_cli.compare.scores import LAST_TENTH, TRAINING_RETURN, choose_protocol, last_tenth
from trpo_cli.errors import UserError
from trpo_cli.runs.event_file import EventFile, scalars

SB3 = Path(__file__).parent / "other_tools"
ONE = SB3 / "ppo" / "CartPole-v1_1"
MEAN = "train/return_mean"


def read(*words: str) -> Found:
    return find_foreign([source for word in words if (source := source_of(word))])


def episodes_of_fixture() -> list[tuple[float, int, float]]:
    """(when it ended, length, return), in that order, of both environments."""
    found = []
    for path in ONE.glob("*.monitor.csv"):
        head, *rows = path.read_text().splitlines()
        begun = json.loads(head[1:])["t_start"]
        found += [(begun + float(x["t"]), int(x["l"]), float(x["r"])) for x in csv.DictReader(rows)]
    return sorted(found)


class TestStableBaselines:
    def test_monitor_files_of_two_environments_are_one_run(self):
        (run,) = read(f"sb3={SB3}").runs
        episodes = episodes_of_fixture()
        assert (run.env, run.config["algo.name"], run.seed) == ("CartPole-v1", "sb3: ppo", None)
        assert run.steps == sum(length for _, length, _ in episodes)
        assert run.columns["train/episodes"].sum() == len(episodes)
        returns = [r for *_, r in episodes]
        mean = np.average(run.columns[MEAN], weights=run.columns["train/episodes"])
        assert mean == pytest.approx(np.mean(returns))
        assert run.columns["seconds"][-1] == pytest.approx(episodes[-1][0] - episodes[0][0])

    def test_the_three_kinds_of_files_say_the_same(self, tmp_path):
        """Fewer than 100 episodes ended, so that stable-baselines3's last mean over the last 100 is
        that of all of them, and so is ours."""
        assert len(episodes_of_fixture()) < 100
        alone = tmp_path / "ppo" / "CartPole-v1"
        alone.mkdir(parents=True)
        (alone / "progress.csv").write_bytes((ONE / "progress.csv").read_bytes())
        found = [read(word).runs[0] for word in (f"sb3={SB3}", f"sb3={tmp_path}", f"tb={SB3}")]
        expected = np.mean([r for *_, r in episodes_of_fixture()])
        assert [run.columns[RETURN][-1] for run in found] == pytest.approx([expected] * 3)
        assert [run.steps for run in found[1:]] == [2048, 2048]
        assert choose_protocol(found).final == TRAINING_RETURN

    def test_other_names_are_other_runs_and_a_torn_line_is_none(self, tmp_path):
        text = '#{"t_start": 5.0, "env_id": "A-v1"}\nr,l,t\n1,10,1.0\n2,10,2.0\n3,10,3'
        (tmp_path / "seed1.monitor.csv").write_text(text)
        (tmp_path / "seed22.monitor.csv").write_text(text.replace("2,10", "4,30") + "\n")
        (tmp_path / "progress.csv").write_text("a,b\n1,2\n")
        runs = read(f"sb3={tmp_path}").runs
        assert [run.seed for run in runs] == [1, 22]
        assert [run.steps for run in runs] == [20, 50]
        assert {run.config["algo.name"] for run in runs} == {f"sb3: {tmp_path.name}"}

    def test_episodes_stand_in_the_order_of_their_ends(self, tmp_path):
        """By hand: the second environment began 10 seconds later."""
        for name, begun, rows in (("0", 0.0, "1,3,1\n2,4,20\n"), ("1", 10.0, "5,2,5\n")):
            text = f'#{{"t_start": {begun}, "env_id": "A-v1"}}\nr,l,t\n{rows}'
            (tmp_path / f"{name}.monitor.csv").write_text(text)
        (run,) = read(f"sb3={tmp_path},label=x").runs
        assert run.columns["step"].tolist() == [3, 5, 9]
        assert run.columns[MEAN].tolist() == [1, 5, 2]
        assert run.columns["seconds"].tolist() == [0, 14, 19]
        assert run.columns[RETURN].tolist() == [1, 3, pytest.approx(8 / 3)]


class TestTensorBoard:
    def write(self, folder: Path, tag: str, points: list[tuple[int, float]]) -> None:
        folder.mkdir(parents=True)
        file = EventFile(folder)
        for step, value in points:
            file.scalars(step, {tag: value, "losses/loss": 0.5})
        file.close()

    def test_names_of_cleanrl(self, tmp_path):
        points = [(10, 1.0), (10, 3.0), (40, 5.0)]
        self.write(tmp_path / "Hopper-v4__ppo_x__7__1699", "charts/episodic_return", points)
        (run,) = read(f"tb={tmp_path}").runs
        assert (run.env, run.config["algo.name"], run.seed) == ("Hopper-v4", "tb: ppo_x", 7)
        assert run.columns["step"].tolist() == [10, 40]
        assert run.columns[MEAN].tolist() == [2, 5]  # two environments' episodes at one step
        assert run.columns[RETURN].tolist() == [2, 3]

    def test_a_tag_that_nobody_knows_is_named(self, tmp_path):
        self.write(tmp_path / "a", "my/reward", [(1, 2.0), (2, 4.0)])
        with pytest.raises(UserError, match=r"tb=DIR:TAG: there are my/reward"):
            read(f"tb={tmp_path},env=A-v1")
        (run,) = read(f"tb={tmp_path}:my/reward,env=A-v1,label=x").runs
        assert run.columns[MEAN].tolist() == [2, 4] and RETURN not in run.columns
        with pytest.raises(UserError, match="it has no tag reward"):
            read(f"tb={tmp_path}:reward,env=A-v1")

    def test_what_a_resumed_run_went_back_behind_is_dropped(self, tmp_path):
        points = [(1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0), (4, 40.0)]
        self.write(tmp_path / "a", "train/return", points)
        (run,) = read(f"tb={tmp_path},env=A-v1").runs
        assert run.columns["step"].tolist() == [1, 2, 4]
        assert run.columns[MEAN].tolist() == [1, 20, 40]

    def test_numbers_that_are_tensors(self, tmp_path):
        self.write(tmp_path / "a", "x", [])
        event = event_pb2.Event(step=7)
        for tag, form, fill in (
            ("list", types_pb2.DT_FLOAT, {"float_val": [1.5]}),
            ("bytes", types_pb2.DT_DOUBLE, {"tensor_content": struct.pack("<d", 2.5)}),
            ("two", types_pb2.DT_FLOAT, {"float_val": [1.0, 2.0]}),
            ("text", types_pb2.DT_STRING, {"string_val": [b"a"]}),
        ):
            value = event.summary.value.add(tag=tag)
            value.tensor.dtype = form
            for name, content in fill.items():
                if isinstance(content, list):
                    getattr(value.tensor, name).extend(content)
                else:
                    setattr(value.tensor, name, content)
        file = EventFile(tmp_path / "a")
        file._write(event)
        file.close()
        found = {tag: (step, v) for _, step, tag, v in scalars(file.path.read_bytes())}
        assert found == {"list": (7, 1.5), "bytes": (7, 2.5)}


class TestTable:
    def test_runs_by_seed_and_names(self, tmp_path):
        path = tmp_path / "mine.csv"
        path.write_text(
            "step, return, seed, algo, env\n"
            "10,1,0,sac,A-v1\n20,2,0,sac,A-v1\n10,5,1,sac,A-v1\n10,7,0,td3,A-v1"
        )
        runs = read(f"csv={path}").runs
        assert [(r.config["algo.name"], r.seed, r.steps) for r in runs] == [
            ("csv: sac", 0, 20), ("csv: sac", 1, 10), ("csv: td3", 0, 10),
        ]  # fmt: skip
        assert "seconds" not in runs[0].columns

    def test_what_only_the_command_line_tells(self, tmp_path):
        path = tmp_path / "mine.csv"
        path.write_text("return,step\n1,10\n")
        with pytest.raises(UserError, match=f"write csv={path},env=ID"):
            read(f"csv={path}")
        (run,) = read(f"csv={path},env=A-v1").runs
        assert (run.env, run.config["algo.name"], run.seed) == ("A-v1", "csv: mine", None)
        (run,) = read(f"csv={path},label=My SAC,env=A-v1").runs
        assert run.config["algo.name"] == "csv: My SAC"


class TestColumns:
    def test_stretches_keep_the_mean(self):
        random = np.random.default_rng(3)
        lengths, returns = random.integers(1, 40, 3000), random.normal(size=3000)
        steps = np.cumsum(lengths).astype(float)
        found = columns_of(Measured(steps, steps / 100, returns, EPISODES, ""))
        assert found["step"].size <= ROWS and found["step"][-1] == steps[-1]
        assert np.all(np.diff(found["step"]) > 0)
        assert found["train/episodes"].sum() == 3000
        mean = np.average(found[MEAN], weights=found["train/episodes"])
        assert mean == pytest.approx(returns.mean())
        assert found[RETURN][-1] == pytest.approx(returns[-100:].mean())
        assert found["seconds"][-1] == steps[-1] / 100

    def test_before_an_episode_has_ended_there_is_no_mean(self):
        values = np.array([np.nan, 4.0])
        found = columns_of(Measured(np.array([1.0, 2.0]), np.zeros(2), values, WINDOW, ""))
        assert found["step"].tolist() == [2] and found[RETURN].tolist() == [4]
        with pytest.raises(ValueError, match="not every return"):
            columns_of(Measured(np.array([1.0, 2.0]), np.zeros(2), values, POINTS, ""))

    def test_last_tenth(self, tmp_path):
        """Steps 100, 200, ..., 1000 with the returns 1 to 10: only 1000 lies behind 900. Ours are
        19 of one episode at 1900 and 20 of three at 2000, of 2000."""
        path = tmp_path / "a.csv"
        path.write_text("step,return\n" + "".join(f"{100 * i},{i}\n" for i in range(1, 11)))
        (theirs,) = read(f"csv={path},env=A-v1").runs
        assert last_tenth(theirs) == 10.0
        write_run(tmp_path / "run", rows=20, steps=2000, start=0.0, final=20.0, evals=[],
                  row=lambda i: {"train/episodes": 3 if i == 19 else 1})  # fmt: skip
        (ours,) = find_runs([str(tmp_path / "run")]).runs
        assert last_tenth(ours) == pytest.approx((19 + 3 * 20) / 4)
        protocol = choose_protocol([ours, theirs])
        assert protocol.final == LAST_TENTH
        assert "does not tell the returns of single episodes" in protocol.notes[0]


GOOD = '#{"t_start": 0.0, "env_id": "A-v1"}\nr,l,t\n1,10,1.0\n'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("r,l,t\n1,1,1\n", "does not begin like a monitor file"),
        ("#[1]\nr,l,t\n1,1,1\n", "does not begin like a monitor file"),
        ("#" + "[" * 100_000 + "\nr,l,t\n1,1,1\n", "nested too deep"),
        ('#{"t_start": "now"}\nr,l,t\n1,1,1\n', "t_start='now'"),
        ('#{"t_start": 1' + "0" * 400 + "}\nr,l,t\n1,1,1\n", "too large"),
        (GOOD + "nan,10,2.0\n", "not every return of it is a number"),
        (GOOD + "1e200,10,2.0\n", "not every return of it is a number"),
        (GOOD + "1,0,2.0\n", "an episode of 0 steps"),
        (GOOD + "1,2.5,2.0\n", "an episode of 2.5 steps"),
        (GOOD + "1,1e300,2.0\n", "steps are not all numbers"),
        (GOOD + "1,inf,2.0\n", "left out"),
        (GOOD + "much,1,2.0\n", "'much' is no number for r"),
        (GOOD + "1,2\n", "not all as long"),
        (GOOD + '"' + "x" * 200_000 + '",1,1\n', "no CSV"),
        (GOOD.replace("r,l,t", "a,b,c"), "no column r"),
        (GOOD.replace("A-v1", "A" * 81 + "-v1"), "a name of 84 characters"),
        (GOOD.replace("1,10,1.0\n", ""), "no return"),
        (GOOD.encode() + b"\xff,1,1\n", "utf-8"),
        ("", "does not begin like a monitor file"),
    ],
)
def test_one_bad_file_is_left_out_by_name(content: str | bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "monitor.csv").write_text(GOOD)
    (tmp_path / "bad").mkdir()
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "bad" / "monitor.csv").write_bytes(data)
    found = read(f"sb3={tmp_path}")
    assert [run.path.name for run in found.runs] == ["good"]
    assert found.notes[0].startswith(f"{tmp_path / 'bad'} is left out: ")
    assert why in found.notes[0]


class TestBounds:
    def test_a_large_file(self, tmp_path, monkeypatch):
        (tmp_path / "monitor.csv").write_text(GOOD)
        monkeypatch.setattr(foreign_files, "LARGEST_FILE", len(GOOD) - 1)
        with pytest.raises(UserError, match=r"are read\."):
            read(f"sb3={tmp_path}")

    def test_runs_of_a_table(self, tmp_path, monkeypatch):
        path = tmp_path / "a.csv"
        path.write_text("step,return,seed\n" + "".join(f"1,{i},{i}\n" for i in range(4)))
        monkeypatch.setattr(foreign_files, "MOST_RUNS", 3)
        with pytest.raises(UserError, match="it has more than 3 runs"):
            read(f"csv={path},env=A-v1")
        path.write_text("step,return\n")
        with pytest.raises(UserError, match="it has no row"):
            read(f"csv={path},env=A-v1")

    def test_memory_is_a_small_multiple_of_the_file(self, tmp_path):
        (tmp_path / "monitor.csv").write_text(GOOD + "1,1,1\n" * 100_000)
        tracemalloc.start()
        try:
            read(f"sb3={tmp_path}")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (
            most < 40 * 600_000
        )  # bytes of the file; 16 times here, 224 where rows were kept as dicts

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "monitor.csv")
        os.mkfifo(tmp_path / "events.out.tfevents.1")
        (tmp_path / "events.out.tfevents.2").write_bytes(b"")
        for kind in ("sb3", "tb"):
            with pytest.raises(UserError, match="there is no run to read"):
                read(f"{kind}={tmp_path}")

    def test_events_that_are_none(self, tmp_path):
        (tmp_path / "events.out.tfevents.1").write_bytes(b"\x80" * 4096)
        with pytest.raises(UserError, match="it has no scalar"):
            read(f"tb={tmp_path},env=A-v1")

    def test_many_episodes_take_seconds(self, tmp_path):
        rows = "".join(f"{i % 7},10,{i}.5\n" for i in range(20_000))
        (tmp_path / "monitor.csv").write_text(GOOD + rows)
        start = time.process_time()
        (run,) = read(f"sb3={tmp_path}").runs
        assert run.columns["step"].size <= ROWS
        assert time.process_time() - start < 2.0  # 0.1 s here

    def test_words_that_steer_a_terminal(self, tmp_path):
        (tmp_path / "monitor.csv").write_text(GOOD.replace("A-v1", "\\u001b[2J-v1"))
        (run,) = read(f"sb3={tmp_path}").runs
        assert run.env == "\\x1b[2J-v1"


class TestMixtures:
    def test_a_copy_is_no_second_run(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "monitor.csv").write_text(GOOD)
        found = read(f"sb3={tmp_path}")
        assert len(found.runs) == 1
        assert "the same returns as one of" in found.notes[0]

    def test_the_same_seed_of_unknown_settings_is_another_run(self, tmp_path):
        for name, last in (("x_seed1", "2,5,3\n"), ("y_seed1", "3,5,3\n")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "monitor.csv").write_text(GOOD + last)
        runs = read(f"sb3={tmp_path}").runs
        ((_, group),) = make_groups(runs).groups.items()
        assert [run.seed for run in group.runs] == [1, 1]

    def test_steps_may_differ_a_little_and_versions_are_not_known(self, tmp_path):
        write_run(tmp_path / "ours", env="A-v1", steps=1000, backend="gym")
        runs = find_runs([str(tmp_path)]).runs
        for end, refused in ((960, False), (940, True), (1100, True)):
            path = tmp_path / f"{end}.csv"
            path.write_text(f"step,return\n1,1\n{end},2\n")
            both = [*runs, *read(f"csv={path},env=A-v1").runs]
            if refused:
                with pytest.raises(UserError, match="different numbers of steps"):
                    refuse_mixtures(both)
            else:
                assert refuse_mixtures(both) == []

    def test_versions_of_a_task_do_not_mix(self, tmp_path):
        write_run(tmp_path / "ours", env="A-v2", steps=1000)
        path = tmp_path / "a.csv"
        path.write_text("step,return\n1000,2\n")
        both = [*find_runs([str(tmp_path)]).runs, *read(f"csv={path},env=A-v1").runs]
        with pytest.raises(UserError, match="versions that are different tasks"):
            refuse_mixtures(both)


class TestArguments:
    def test_a_folder_of_such_a_name_is_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "sb3=x").mkdir()
        assert source_of("sb3=x") is None
        assert source_of("outputs") is None and source_of("algo=ppo") is None

    def test_parts(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a,b:c").mkdir()
        found = source_of("tb=a,b:c:my/tag,label=x=y,env=A-v1")
        assert found is not None
        assert (str(found.path), found.tag) == ("a,b:c", "my/tag")
        assert found.given == {"label": "x=y", "env": "A-v1"}

    @pytest.mark.parametrize("word", ["sb3=nowhere", "csv=.", "tb=nowhere:tag", "sb3=a,evn=x"])
    def test_what_is_not_there(self, word, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a").mkdir()
        with pytest.raises(UserError, match=f"{word}: there is no (file|folder) "):
            source_of(word)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(UserError, match=r"Nothing below it is called a monitor\.csv"):
            read(f"sb3={tmp_path}")


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three of our runs and three of a table, whose returns go up to 200 + seed in 1000 steps."""
    monkeypatch.chdir(tmp_path)
    lines = ["step,return,seed,label\n"]
    for seed in range(3):
        write_run(tmp_path / "ours" / str(seed), env="A-v1", seed=seed, steps=1000, backend="gym",
                  final=100.0 + seed)  # fmt: skip
        lines += [f"{100 * i},{20 * i + seed},{seed},=1+1\n" for i in range(1, 11)]
    (tmp_path / "t.csv").write_text("".join(lines))
    return tmp_path


class TestCommand:
    def test_the_same_statistics_with_the_caveats_said(self, three, capsys):
        assert main(["ours", "csv=t.csv,env=A-v1", "--no-files"]) == 0
        said = capsys.readouterr().out
        assert "csv: =1+1 is ahead of trpo on A-v1: 201 ± 1." in said  # 200, 201, 202
        assert f"note: {foreign.CAVEAT}" in said
        assert "nobody says how it was measured" in said
        assert "Runs of other tools (csv: =1+1): their versions and settings are not known" in said

    def test_labels_and_json(self, three, capsys):
        words = ["ours", "csv=t.csv,env=A-v1", "--no-files", "--json", "--by", "version,folder"]
        assert main([*words, "--label", "csv: =1+1 folder=csv=t.csv,env=A-v1=SAC"]) == 0
        record = json.loads(capsys.readouterr().out)
        ranks = [(row["group"], row["runs"]) for row in record["tables"]["ranking"]]
        assert ranks == [("SAC", 3), ("trpo version=0.1.0 folder=ours", 3)]
        assert [row["group"] for row in record["tables"]["updates"]] == [ranks[1][0]]
        (seconds,) = [
            row["seconds_median"]
            for row in record["tables"]["performance"]
            if row["group"] == "SAC"
        ]
        assert seconds is None

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--x", "seconds"], "--x seconds: the files of t.csv tell no seconds."),
            (["--x", "updates"], "--x updates: the files of t.csv tell no updates."),
            (["--curve", "policy/kl"], "t.csv has no metric of that name."),
        ],
    )
    def test_what_they_do_not_tell(self, more, words, three, capsys):
        assert main(["ours", "csv=t.csv,env=A-v1", "--no-files", *more]) == 2
        assert words in " ".join(capsys.readouterr().err.split())

    def test_the_page(self, three):
        assert main(["ours", f"sb3={SB3},env=A-v1", "csv=t.csv,env=A-v1", "--out", "o",
                     "--allow", "steps", "--against", "reference"]) == 0  # fmt: skip
        page = (three / "o" / "report.html").read_text()
        assert "Runs of other tools (csv: =1+1 and sb3: ppo)" in page
        assert "<b>csv: =1+1 and sb3: ppo</b>: nothing is known of its updates." in page
        assert re.search(r'<details class="why" open><summary>\d+ notes on the runs', page)
        assert "Other tools&#x27; files tell neither versions nor settings" in page

    def test_none_of_ours(self, three, capsys):
        assert main(["csv=t.csv,env=A-v1", "--no-files"]) == 0
        assert "there is nothing to compare it with" in capsys.readouterr().out
