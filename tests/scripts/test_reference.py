"""scripts/reference.py: cells in words, what is there already, and one cell from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import reference
from campaign import keep, work
from campaign.cells import Job, all_cells, changes, defaults, named, tuned
from tests.reference.results import result
from tests.reference.test_distil import both, chained_run
from trpo_cli.components import ALSO, TUNED, conf_dir, read_yaml
from trpo_cli.errors import UserError
from trpo_cli.reference import store
from trpo_cli.reference.store import Trial


def jobs_of(words: list[str], seeds: str, steps: int) -> list[Job]:
    return list(named(words, seeds, steps).jobs())


def stored(job: Job) -> dict[str, Any]:
    return {
        "algo": job.algo, "sampler": job.sampler, "env": job.env, "total_steps": job.total_steps,
        "settings": job.settings,
    }  # fmt: skip


def test_cells_are_all_combinations() -> None:
    jobs = jobs_of(["trpo,ppo", "Hopper-v4,Ant-v4", "discount=0.98"], "0-1,7", 5000)
    assert [(j.algo, j.env, j.seed) for j in jobs] == [
        (algo, env, seed)
        for algo in ("trpo", "ppo")
        for env in ("Hopper-v4", "Ant-v4")
        for seed in (0, 1, 7)
    ]
    assert {j.total_steps for j in jobs} == {5000}
    assert {j.settings["discount"] for j in jobs} == {0.98}
    assert "algo.max_kl" in jobs[0].settings and "algo.clip_range" in jobs[-1].settings
    assert len({j.name for j in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("words", "seeds", "said"),
    [
        (["trpo"], "0", "no environment"),
        (["Hopper-v4"], "0", "no rule"),
        (["trpo", "Hopper-v4"], "0-x", "0-x"),
        (["trpo", "Hopper-v4", "algo.max_lk=1"], "0", "max_kl"),
    ],
)
def test_what_is_no_cell_is_refused(words: list[str], seeds: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        jobs_of(words, seeds, 5000)


def test_tuned_settings_are_told_from_the_defaults() -> None:
    entries = read_yaml(conf_dir() / TUNED / "mujoco.yaml")[ALSO]
    for entry, content in entries.items():
        rule, task = (word.partition("=")[2] for word in entry.split())
        assert bool(tuned(rule, "single_path", f"{task}-v4")) == bool(content)
    assert tuned("vpg", "single_path", "CartPole-v1") == ""


def test_the_file_of_cells_has_every_rule_on_every_task() -> None:
    names, usual = list[str](), list[tuple[str, str]]()
    for some in all_cells():
        cells = [(rule, env) for rule in some.rules for env in some.envs]
        names += [f"{cell} {some.settings} {some.steps} {seed}" for cell in cells
                  for seed in some.seeds]  # fmt: skip
        assert max(some.seeds) < store.TUNING_SEEDS
        if (some.settings, some.steps, list(some.seeds)) == ([], 1_000_000, [0, 1, 2, 3, 4]):
            usual += cells
    assert len(set(names)) == len(names)
    assert len([env for _, env in usual if env.endswith("-v4")]) == 4 * 9
    assert len([env for _, env in usual if env.endswith("-v5")]) == 2 * 9


def test_changes_are_what_trpo_run_takes() -> None:
    words = "algo.max_kl=0.02 value.max_grad_norm=0.5 policy.hidden_sizes=[32,32]"
    (job,) = jobs_of(["trpo", "Hopper-v4", *words.split()], "0", 5000)
    said = changes("trpo", "single_path", "Hopper-v4", job.settings)
    assert sorted(said.split()) == sorted(words.split())
    assert changes("trpo", "vine", "Hopper-v4", defaults("trpo", "vine", "Hopper-v4")) == ""


def test_what_is_stored_is_not_done_again(tmp_path: Path) -> None:
    jobs = jobs_of(["trpo", "Hopper-v4"], "0,1,1000,1001", 5000)
    store.add(tmp_path, [result(1, **stored(jobs[1]))])
    known = store.settings_id(jobs[0].settings)
    trial = Trial("Hopper-v4", "trpo", "single_path", 5000, "", known, 1000, 1.0, 1.0, 1.0, "", "")
    store.add_trials(tmp_path, [trial])
    assert [job.seed for job in work.missing(jobs, tmp_path)] == [0, 1001]
    # Another default is another cell.
    other = jobs_of(["trpo", "Hopper-v4", "algo.max_kl=0.02"], "0,1,1000", 5000)
    assert [job.seed for job in work.missing(other, tmp_path)] == [0, 1, 1000]


def test_a_setting_that_the_stored_run_does_not_know(tmp_path: Path) -> None:
    """It had what is the default now; with anything else it is another run, and stays."""
    key = "policy.log_std_cooldown"
    (job,) = jobs_of(["trpo", "Hopper-v4"], "0", 5000)
    known = {name: value for name, value in job.settings.items() if name != key}
    keep.put(tmp_path, [result(0, **{**stored(job), "settings": known})])
    assert work.missing([job], tmp_path) == []
    (other,) = jobs_of(["trpo", "Hopper-v4", f"{key}=0.5"], "0", 5000)
    assert work.missing([other], tmp_path) == [other]
    assert keep.put(tmp_path, [result(0, **stored(other))]) == 0
    assert keep.put(tmp_path, [result(0, **stored(job))]) == 1
    assert len(store.read(tmp_path)) == 2


def test_add_keeps_what_is_good_and_says_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, target = tmp_path / "runs", tmp_path / "store"
    for seed in (0, 1):
        chained_run(runs / str(seed), seed=seed, evals=both(24_000))
    chained_run(runs / "trial", seed=1000, algo__max_kl=0.02)
    chained_run(runs / "bare", seed=2)
    (runs / "0.cpu").write_text("55.5\n")
    (runs / "1" / "checkpoints").mkdir()
    assert reference.main(["add", str(runs), "--store", str(target), "--clean"]) == 0
    said = capsys.readouterr()
    assert "3 runs stored" in said.out and "0 of them in the place" in said.out
    assert said.err.count("left out") == 1 and "bare has no evaluation" in said.err
    assert [(r.seed, r.cpu_seconds) for r in store.read(target)] == [(0, 55.5), (1, None)]
    assert [t.changes for t in store.read_trials(target)] == ["algo.max_kl=0.02"]
    assert not (runs / "1" / "checkpoints").exists()
    assert reference.main(["add", str(runs / "bare"), "--store", str(target)]) == 2


@pytest.mark.slow
def test_a_cell_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, runs = tmp_path / "store", tmp_path / "runs"
    words = ["run", "trpo", "CartPole-v1", "--steps", "4096", "--store", str(target)]
    words += ["--runs", str(runs), "--seeds", "0,1000", "--clean"]
    assert reference.main(words) == 0
    (run,) = store.read(target)
    (trial,) = store.read_trials(target)
    assert (run.sampled.n, run.deterministic.n, run.seed, trial.seed) == (100, 100, 0, 1000)
    assert run.cpu_seconds is not None and run.cpu_seconds > run.seconds / 4
    assert run.kl_share is not None and 0.0 < run.kl_share <= 1.0
    assert not list(runs.rglob("checkpoints")) and not list(runs.rglob("events*"))
    capsys.readouterr()
    assert reference.main(words) == 0
    assert "2 of 2 runs are stored" in capsys.readouterr().out
