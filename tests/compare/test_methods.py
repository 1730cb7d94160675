"""The sentences say what the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.synthetic import VERSIONS, evaluation, write_run
from trpo_cli.commands.compare import main
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.foreign import find_foreign, source_of
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.methods import code, methods, plain, to_latex, to_markdown
from trpo_cli.compare.read import Run, find_runs
from trpo_cli.compare.results import Options

DEFAULTS = {"algo.max_kl": 0.01, "discount": 0.99, "algo.damping": 0.1, "total_steps": 1}


def paragraphs(folder: Path, *more: str, defaults: Any = lambda run: DEFAULTS) -> list[str]:
    runs = find_runs([str(folder)]).runs
    if more:
        sources = [source for word in more if (source := source_of(word))]
        runs = [*runs, *find_foreign(sources).runs]
    return methods(analyse(make_groups(runs), Options("steps", None, {}, ""), []), "9.9", defaults)


class TestWords:
    def test_one_environment(self, tmp_path):
        for algo in ("trpo", "npg"):
            for seed in (3, 4):
                write_run(tmp_path / algo / str(seed), algo, seed=seed, final=10.0 * seed)
        training, measures, statistics, software, settings = paragraphs(tmp_path)
        assert training == (
            "We compare `npg` and `trpo` on `Hopper-v4` (24,000 environment steps, 2 runs of "
            "each), with the seeds 3 and 4."
        )
        assert "mean undiscounted return over 5 episodes with sampled actions" in measures
        assert "Welch's t-test of their mean performance, and by" in statistics  # one pair
        assert "interquartile" not in statistics
        assert f"Gymnasium `{VERSIONS['gymnasium']}` and MuJoCo `{VERSIONS['mujoco']}`" in software
        assert "Arcade" not in software
        assert settings == (
            "`npg` and `trpo` ran with `sampler=single_path`, `policy=mlp` and `value=mlp`, and "
            "with the defaults of trpo_cli `9.9`."
        )

    def test_what_differs_is_named_once(self, tmp_path):
        for env in ("A-v1", "B-v1"):
            for seed in range(2):
                write_run(tmp_path / "n" / env / str(seed), "npg", env, seed, algo__max_kl=0.05,
                          discount=0.9, backend="gym", final=1.0 + seed)  # fmt: skip
                write_run(tmp_path / "t" / env / str(seed), "trpo", env, seed, backend="gym",
                          algo__damping=0.1 + seed, final=2.0 + seed)  # fmt: skip
        training, _, statistics, software, settings = paragraphs(tmp_path)
        assert training.count("`npg` and `trpo` on `A-v1` (24,000") == 1
        assert "all 2 comparisons" in statistics and "interquartile mean" in statistics
        assert "MuJoCo" not in software
        assert (
            "with `algo.max_kl=0.05` instead of `0.01` and `discount=0.9` instead of `0.99`, and "
            "otherwise with the defaults of trpo_cli `9.9`" in settings
        )
        assert settings.count("`algo.max_kl=") == 1
        assert "several values of `algo.damping` (`0.1` and `1.1`)" in settings

    def test_groups_that_are_not_everywhere(self, tmp_path):
        for seed, env in ((0, "A-v1"), (1, "A-v1"), (2, "B-v1")):
            write_run(tmp_path / str(seed), env=env, seed=seed, backend="gym")
        write_run(tmp_path / "npg", "npg", "A-v1", 0, backend="gym")
        training = paragraphs(tmp_path)[0]
        assert (
            "`npg` and `trpo` on `A-v1` (24,000 environment steps, between 1 and 2 runs" in training
        )
        assert "and `trpo` on `B-v1` (24,000 environment steps, 1 run)" in training
        assert training.endswith(", each run with a seed of its own.")

    def test_the_most_likely_actions(self, tmp_path):
        lines = [evaluation(24_000, 5.0) | {"deterministic": True, "episodes": 7}]
        write_run(tmp_path / "a", evals=lines, eval__deterministic=True)
        assert "over 7 episodes with the most likely action taken" in paragraphs(tmp_path)[1]

    def test_unknown_components(self, tmp_path):
        write_run(tmp_path / "a", policy__name="mine:Net")
        settings = paragraphs(tmp_path, defaults=lambda run: None)[-1]
        assert "`policy=mine:Net`" in settings
        assert settings.endswith("its settings are in the file `config.yaml` of each run.")

    def test_other_tools(self, tmp_path):
        write_run(tmp_path / "a" / "b", env="A-v1", steps=1000, backend="gym")
        (tmp_path / "t.csv").write_text("step,return\n500,1\n1000,2\n")
        found = paragraphs(tmp_path / "a", f"csv={tmp_path / 't.csv'},env=A-v1")
        assert found[0].endswith("1 run of each), those of trpo_cli with the seed 0.")
        assert "mean return over the last tenth of the steps" in found[1]
        assert found[-1].startswith("The runs of `csv: t` were made with other tools")

    def test_hardware(self, tmp_path):
        write_run(tmp_path / "a")
        (run,) = find_runs([str(tmp_path)]).runs
        run.manifest.update(machine={"cpu": "Some CPU"}, device="cpu", git={"commit": "a" * 40})  # type: ignore[attr-defined]
        software = of([run])
        assert "(commit `aaaaaaaaaaaa`)" in software
        assert software.endswith("on `Some CPU`; networks ran on the device `cpu`.")
        run.manifest.update(machine=[1], device=3, git="x")  # type: ignore[attr-defined]
        assert "CPU" not in of([run])


def of(runs: list[Run]) -> str:
    comparison = analyse(make_groups(runs), Options("steps", None, {}, ""), [])
    return methods(comparison, "9.9", lambda run: None)[3]


class TestWritten:
    def test_names_and_signs(self):
        text = ["Of `a_b` and 5% <x> (p ≤ 0.05), Welch's."]
        assert plain(text) == "Of a_b and 5% <x> (p ≤ 0.05), Welch's.\n"
        assert to_markdown(text) == "Of `a_b` and 5% \\<x> (p ≤ 0.05), Welch's.\n"
        assert to_latex(text) == (
            "Of \\texttt{a\\_b} and 5\\% $<$x$>$ (p $\\leq$ 0.05), Welch's.\n"
        )

    def test_no_value_ends_a_name(self):
        assert code("a`</code>`b") == "`a'</code>'b`"
        assert len(code("x y " * 100)) <= 82


def test_the_defaults_are_those_of_a_run(tmp_path: Path) -> None:
    """A run of Swimmer, whose file sets a discount and a lambda, with one setting changed."""
    import dataclasses

    import yaml

    from trpo_cli.commands.defaults import defaults_of
    from trpo_cli.commands.hydra.compose import config_of

    config = config_of(
        "algo=npg", "env=Swimmer-v4", "policy=mlp", "value=mlp", "algo.max_kl=0.5", "seed=1"
    )
    write_run(tmp_path / "a", "npg", "Swimmer-v4", 1)
    (tmp_path / "a" / "config.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
    (run,) = find_runs([str(tmp_path)]).runs
    usual = defaults_of(run)
    assert usual is not None
    assert usual["discount"] == run.config["discount"] != 0.99
    differs = {key for key, value in run.config.items() if usual.get(key, value) != value}
    assert differs == {"algo.max_kl", "seed"}
    odd = dataclasses.replace(run, config={**run.config, "policy.name": "os:system"})
    assert defaults_of(odd) is None


def test_files_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_run(tmp_path / "r" / str(seed), env="<b>`-v1", seed=seed, backend="gym")
    assert main(["r", "--out", "o"]) == 0
    assert "on <b>'-v1 (24,000" in (tmp_path / "o" / "methods.txt").read_text()
    assert r"\texttt{$<$b$>${'}-v1}" in (tmp_path / "o" / "methods.tex").read_text()
    page = (tmp_path / "o" / "report.html").read_text()
    assert "<summary>Methods, for a paper</summary>" in page
    assert "<code>&lt;b&gt;&#x27;-v1</code> (24,000 environment steps, 2 runs)" in page
