"""Components of somebody else's, in one file outside the package: that of the pages docs/extend."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import my_lab
from tests.support.running import (
    REPOSITORY,
    RULES,
    check_same,
    count_rows,
    finish,
    lines,
    result,
    start,
    status,
    untimed,
    wait_until,
)
from tests.support.small import explicit_fisher, oracle_log_prob, oracle_policy, tensor
from trpo_cli.algos.objectives import objective_of
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.run import main
from trpo_cli.models.autograd import ModuleNetwork
from trpo_cli.models.policy import Policy
from trpo_cli.training.trainer import Training

OURS = (
    "algo=my_lab:Ascent",
    "policy=my_lab:Residual",
    "value=my_lab:Critic",
    "env=my_lab:Spring-v0",
    "env.wrappers=[{my_lab:Noise: {scale: 0.02}}]",
)
SMALL = ("seed=3", "threads=2", "sampler.num_envs=2", "sampler.steps_per_env=64")
RUN = (*SMALL, "total_steps=1024", "checkpoint.every=128", "eval.episodes=2")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with my_lab.py in it and nothing else."""
    return my_lab.write(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def trained(lab: Path) -> Path:
    return train(lab, "unbroken", *OURS)


@pytest.fixture
def beside(lab: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """my_lab is on Python's path, and the working directory is empty."""
    monkeypatch.syspath_prepend(lab)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(lab: Path, name: str, *words: str) -> Path:
    code, _, err = finish(start(*words, *RUN, f"hydra.run.dir={name}", cwd=lab), 120)
    assert (code, err) == (0, "")
    return lab / name


def kill_and_resume(lab: Path, name: str, words: tuple[str, ...], unbroken: Path) -> None:
    """The same bits as the run that nothing happened to."""
    process = start(*words, *RUN, f"hydra.run.dir={name}", cwd=lab)
    assert wait_until(process, lambda: count_rows(lab / name) >= 3)
    process.send_signal(signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    assert status(lab / name)[0] == "running"
    code, out, err = finish(start(f"resume={name}", cwd=lab), 120)
    assert (code, err) == (0, "")
    assert "resumed at step" in out
    check_same(lab / name, result(unbroken))


def command(name: str, *words: str, cwd: Path, path: Path | None = None) -> Any:
    """A command as a process of its own; path: what is on Python's path beside the repository."""
    folders = [str(REPOSITORY), *([str(path)] if path else [])]
    return subprocess.run(
        [sys.executable, "-c", f"from trpo_cli.commands.{name} import main; exit(main())", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=120,
    )


class TestRuns:
    @pytest.mark.slow
    def test_killed_and_resumed(self, lab: Path, trained: Path) -> None:
        kill_and_resume(lab, "killed", OURS, trained)

    def test_estimator_and_sampler_killed_and_resumed(self, lab: Path) -> None:
        words = ("advantage=my_lab:ClippedGAE", "sampler=my_lab:Fresh", "env=my_lab:Spring-v0")
        unbroken = train(lab, "fresh", *words)
        kill_and_resume(lab, "fresh_killed", words, unbroken)

    def test_evaluated_from_another_folder(self, lab: Path, trained: Path, tmp_path: Path) -> None:
        found = command("evaluate", str(trained), "--episodes", "2", cwd=tmp_path, path=lab)
        assert (found.returncode, found.stderr) == (0, "")
        assert "return" in found.stdout
        without = command("evaluate", str(trained), cwd=tmp_path)
        assert without.returncode == 2
        assert "my_lab cannot be imported" in without.stderr
        assert "PYTHONPATH" in without.stderr

    def test_compared_without_an_import(self, lab: Path, trained: Path, tmp_path: Path) -> None:
        """With a built-in rule's run; my_lab is nowhere to be found."""
        other = train(lab, "ppo", "algo=ppo", *OURS[3:], "algo.minibatch_size=64")
        shutil.copytree(trained, tmp_path / "ours")
        shutil.copytree(other, tmp_path / "theirs")
        found = command("compare", "ours", "theirs", "--out", "report", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert "my_lab:Ascent" in found.stdout
        assert "ppo" in found.stdout

    @pytest.mark.slow
    def test_in_a_sweep(self, lab: Path) -> None:
        words = ("algo=my_lab:Ascent,vpg", "env=my_lab:Spring-v0,CartPole-v1")
        short = ("total_steps=128", "eval.episodes=0")
        sweep = start("-m", *words, *SMALL, *short, "hydra.sweep.dir=sweep", cwd=lab)
        code, _, err = finish(sweep, 240)
        assert (code, err) == (0, "")
        runs = [path.parent for path in sorted((lab / "sweep").rglob("manifest.json"))]
        assert [status(run)[0] for run in runs] == ["finished"] * 4
        names = {re.findall(r"name: (\S+)", (run / "config.yaml").read_text())[1] for run in runs}
        assert names == {"my_lab:Ascent", "vpg"}


class TestCommandLine:
    def test_help(self, beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["algo=my_lab:Ascent", "algo.momentum=0.25", "--help=all"]) == 0
        text = capsys.readouterr().out
        assert (
            "algo=my_lab:Ascent: Gradient ascent with momentum, each step of the same KL." in text
        )
        assert re.search(r"algo.max_kl=0.01 +KL of a step, nats \(> 0\)", text)
        assert re.search(r"algo.momentum=0.25 +share of the last direction \(>= 0 and < 1\)", text)

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (
                "algo=my_lab:Ascent algo.max_kl=-1",
                "algo.max_kl=-1.0 is out of range: it must be > 0",
            ),
            (
                "algo=my_lab:Ascent algo.max_kl=many",
                "algo.max_kl=many has the wrong type: a number",
            ),
            ("algo=my_lab:Ascent algo.maxkl=1", "Did you mean algo.max_kl?"),
            ("algo=my_lab:Ascent algo.epochs=1", "the algo chosen here has no such setting"),
            ("algo=my_lab:Ascnt", "the module my_lab has no Ascnt. Did you mean Ascent?"),
            ("algo=my_labs:Ascent", "there is no module my_labs on Python's path"),
            ("algo=my_lab.Ascent", "One of your own is written algo=module:Class."),
            ("algo=my_lab:", "is not one of its options"),
            ("value=my_lab:Residual", "Residual is a component of the group policy"),
            ("algo=my_lab:AscentRule", "AscentRule is no component"),
            ("env=my_lab:Sprung-v0", "Did you mean Spring-v0?"),
            ("env.wrappers=[my_lab:Nose]", "Did you mean Noise?"),
            ("sampler=my_lab:Fresh sampler.num_envs=0", "sampler.num_envs=0 is out of range"),
            ("algo=raises_at_once:Rule", "importing raises_at_once failed with RuntimeError: no"),
            ("algo=unfinished:NoDefault", "NoDefault.step has no default"),
            ("algo=unfinished:NoTraits", "NoTraits has no traits"),
            ("algo=unfinished:NoBuild", "NoBuild has no build"),
            ("-m algo=my_lab:Ascent,my_lab:Ascnt", "Did you mean Ascent?"),
        ],
    )
    def test_mistakes(
        self,
        words: str,
        told: str,
        beside: Path,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """One paragraph, exit status 2, and nothing written."""
        other = tmp_path_factory.mktemp("other")
        (other / "raises_at_once.py").write_text('raise RuntimeError("no licence")')
        (other / "unfinished.py").write_text(UNFINISHED)
        monkeypatch.syspath_prepend(other)
        assert main(words.split()) == 2
        said = capsys.readouterr().err
        assert told in said
        assert said.startswith("trpo-run: ")
        assert said.count("\n") == 1
        assert list(beside.iterdir()) == []


UNFINISHED = """
from dataclasses import dataclass
from typing import ClassVar
from trpo_cli.components import RuleTraits, component
from trpo_cli.settings import setting

@component("algo")
@dataclass
class NoDefault:
    traits: ClassVar = RuleTraits()
    step: float = setting(help="a step")

@component("algo")
@dataclass
class NoTraits:
    step: float = setting(1.0, "a step")

@component("algo")
@dataclass
class NoBuild:
    traits: ClassVar = RuleTraits()
    step: float = setting(1.0, "a step")
"""


def training(*words: str) -> Training:
    return Training(config_of("policy=my_lab:Residual", "policy.width=4", *words, *SMALL))


@pytest.mark.usefixtures("beside")
class TestModule:
    @pytest.mark.parametrize(
        "value",
        [
            "my_lab:Critic",
            *(pytest.param(value, marks=pytest.mark.slow) for value in ("mlp", "none")),
        ],
    )
    @pytest.mark.parametrize("rule", RULES)
    def test_learns_with_every_rule(self, rule: str, value: str) -> None:
        advantage = "reward_to_go" if value == "none" else "gae"
        run = training(
            f"algo={rule}", f"value={value}", f"advantage={advantage}", "env=my_lab:Spring-v0"
        )
        before = run.policy.parameters.clone()
        rows = [run.iterate() for _ in range(2)]
        run.close()
        assert rows[1]["step"] == 256
        assert np.isfinite(rows[1]["policy/kl"])
        assert not torch.equal(before, run.policy.parameters)

    def test_its_critic_beside_an_mlp_policy(self) -> None:
        words = ("value=my_lab:Critic", "value.width=4", "env=CartPole-v1")
        run = Training(config_of(*words, *SMALL))
        rows = [run.iterate() for _ in range(2)]
        run.close()
        assert np.isfinite(rows[1]["value/loss"])

    @pytest.mark.parametrize(
        "env", ["my_lab:Spring-v0", pytest.param("CartPole-v1", marks=pytest.mark.slow)]
    )
    def test_gradient_and_fisher_product_are_plain_autograd_s(self, env: str) -> None:
        run = training("algo=trpo", f"env={env}")
        policy, batch, space = batch_of(run)
        here = policy.linearize(batch.observations)
        theta = tensor(policy.parameters).requires_grad_()
        parts = oracle_policy(policy, space, batch.observations)
        score = oracle_log_prob(parts(theta), batch.actions) * batch.advantages
        (expected,) = torch.autograd.grad(score.mean(), theta)
        gradient = objective_of(policy, here, batch).gradient
        torch.testing.assert_close(gradient, expected.float(), rtol=1e-3, atol=1e-5)
        v = torch.randn(len(theta), generator=torch.Generator().manual_seed(0))
        fisher = torch.from_numpy(explicit_fisher(policy, space, batch.observations))
        torch.testing.assert_close(here.fisher_product(v), fisher @ v, rtol=1e-3, atol=1e-4)

    def test_threads_do_not_see_each_other_s_parameters(self) -> None:
        """A sampler's threads ask one network at a time; torch puts back the module's own
        parameters after each call."""

        class Slow(torch.nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                time.sleep(0.001)
                return super().forward(x)

        network = ModuleNetwork(Slow(1, 1))
        flat, x = torch.tensor([2.0, 1.0]), np.ones((1, 1), dtype=np.float32)
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda _: network.predict(flat, x).item(), range(40)))
        assert found == [3.0] * 40

    def test_first_parameters_follow_the_seed_alone(self) -> None:
        runs = [training("algo=trpo", "env=CartPole-v1") for _ in range(2)]
        torch.manual_seed(1)
        runs.append(training("algo=trpo", "env=CartPole-v1"))
        for run in runs:
            run.close()
            assert torch.equal(run.policy.parameters, runs[0].policy.parameters)


def batch_of(run: Training) -> tuple[Policy, Any, Any]:
    """The policy of a training, a batch that it collected, and the space of its actions."""
    kept: dict[str, Any] = {}
    update = run.parts.rule.update

    def keep(policy: Policy, batch: Any, *rest: Any) -> Any:
        kept["batch"] = batch
        return update(policy, batch, *rest)

    run.parts.rule.update = keep
    run.iterate()
    run.close()
    return run.policy, kept["batch"], run.simulator.action_space


def test_the_rule_in_the_package_is_three_new_files(tmp_path: Path) -> None:
    """As docs/extend/rule.md says: no file of the package is changed. The same rows."""
    for folder in ("trpo_cli", "conf"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    code = re.sub(r'setting\([\d.]+, "', 'setting(help="', my_lab.blocks("rule")[0])
    page = (my_lab.PAGES / "rule.md").read_text()
    assert re.findall(r"`(setting\(help=.*?\))`", page)[0] in code
    (tmp_path / "trpo_cli" / "algos" / "ascent.py").write_text(code)
    (tmp_path / "conf" / "algo" / "ascent.yaml").write_text(my_lab.blocks("rule", "yaml")[0])
    my_lab.write(tmp_path)
    words = ("env=CartPole-v1", *SMALL, "total_steps=256", "eval.episodes=0")
    rows = []
    for name in ("ascent", "my_lab:Ascent"):
        run = [sys.executable, "-m", "trpo_cli", f"algo={name}", *words, f"hydra.run.dir={name}"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True)
        found = lines(tmp_path / name / "metrics.jsonl")
        rows.append([untimed(row) for row in found])
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]
