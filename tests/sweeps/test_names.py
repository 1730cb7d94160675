"""The names under which TensorBoard shows the runs of a sweep."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from trpo_cli.sweeps import index
from trpo_cli.sweeps.names import link_runs, logdir


def config(algo: str, seed: int | None, sampler: str = "single_path") -> SimpleNamespace:
    named = {"algo": algo, "env": "CartPole-v1", "sampler": sampler}
    sections = {key: SimpleNamespace(name=name, id=name) for key, name in named.items()}
    return SimpleNamespace(seed=seed, **sections)


def links(folder: Path, jobs: list[list[str]], configs: list[SimpleNamespace]) -> dict[str, str]:
    listed = index.new([], None, [], 1, jobs, [str(i) for i in range(len(jobs))])
    link_runs(folder, listed.jobs, configs)
    return {path.name: path.resolve().name for path in sorted(logdir(folder).iterdir())}


def test_they_say_what_differs(tmp_path: Path) -> None:
    jobs = [
        ["algo=ppo", "seed=0", "env=CartPole-v1"],
        ["algo=trpo", "sampler=vine", "seed=0", "env=CartPole-v1", "algo.max_kl=0.02"],
    ]
    assert links(tmp_path, jobs, [config("ppo", 0), config("trpo", 0, "vine")]) == {
        "ppo_CartPole-v1_s0": "0",
        "trpo_vine_CartPole-v1_s0_max_kl=0.02": "1",
    }


def test_equal_names_are_numbered(tmp_path: Path) -> None:
    same = [config("ppo", None), config("ppo", None)]
    assert links(tmp_path, [["seed=null"], ["seed=null"]], same) == {
        "ppo_CartPole-v1_0": "0",
        "ppo_CartPole-v1_1": "1",
    }


def test_a_sweep_without_links_is_shown_as_it_is(tmp_path: Path) -> None:
    assert logdir(tmp_path) == tmp_path
