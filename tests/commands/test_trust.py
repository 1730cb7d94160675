"""Directories from strangers: what they name is neither imported, nor launched, nor followed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from tests.support.cli_stub import Cli
from trpo_cli.commands import run as trpo_run
from trpo_cli.commands.evaluate import main as trpo_eval
from trpo_cli.commands.multirun.powers import of_sweep
from trpo_cli.commands.tune import main as trpo_tune
from trpo_cli.config import config_to_yaml
from trpo_cli.runs import checkpoint
from trpo_cli.sweeps import index
from trpo_cli.system import known

EVIL = "import pathlib\npathlib.Path('witness').touch()\n"
NAMED = {  # where a configuration names a module
    "environment": ("id: CartPole-v1", "id: {}:Evil-v0"),
    "argument": ("kwargs: {}", "kwargs: {{a: ['{}:Evil-v0']}}"),
    "rule": ("name: ppo", "name: {}:Rule"),
    "policy": ("given: {}\n  name: auto", "name: {}:Policy"),
    "wrapper": ("wrappers: []", "wrappers: [{}:Wrapper]"),
    "wrapper with arguments": ("wrappers: []", "wrappers: [{{'{}:Wrapper': {{a: 1}}}}]"),
}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with modules that must not be imported in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # what is imported from here is added to it
    for name in ("evil", "evil-one", "evil two"):
        (tmp_path / f"{name}.py").write_text(EVIL)
    return tmp_path


@pytest.fixture(scope="module")
def config_text() -> str:
    return config_to_yaml(running.config("ppo", "CartPole-v1", total_steps=running.BATCH))


def make_run(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    checkpoint.save(checkpoint.path(folder, running.BATCH), {}, {})
    return folder


class TestModules:
    @pytest.mark.parametrize("where", NAMED)
    @pytest.mark.parametrize("module", ["evil", "evil-one", "evil two"])
    def test_are_not_imported(self, stranger, config_text, capsys, where, module):
        old, new = NAMED[where]
        assert old in config_text
        text = config_text.replace(old, new.format(module), 1)
        run_dir = make_run(stranger / "run", text)
        for command in (
            lambda: trpo_run.main([f"resume={run_dir}"]),
            lambda: trpo_run.main([f"resume={run_dir}", "total_steps=999"]),
            lambda: trpo_eval([str(run_dir)]),
        ):
            assert command() == 2
            said = capsys.readouterr().err
            assert f"names the module {module}, which would be imported from" in said
            assert str(stranger / f"{module}.py") in said and "--trust" in said
        assert not (stranger / "witness").exists()
        assert not (run_dir / "manifest.json").exists()

    @pytest.mark.parametrize("command", ["run", "eval"])
    def test_are_imported_with_trust(self, stranger, config_text, capsys, command, monkeypatch):
        name = f"evil_{command}"  # a module is imported once
        (stranger / f"{name}.py").write_text(EVIL)
        old, new = NAMED["environment"]
        run_dir = make_run(stranger / "run", config_text.replace(old, new.format(name), 1))
        if command == "run":
            status = trpo_run.main([f"resume={run_dir}", "--trust"])
        else:
            status = trpo_eval([str(run_dir), "--trust"])
        assert status == 2 and "registers no environment" in capsys.readouterr().err
        assert (stranger / "witness").exists()

    def test_of_ones_own_need_no_word(self, stranger, monkeypatch, capsys):
        """The same name at another place is another module."""
        known.remember(["evil"])
        known.check_modules(["evil", "evil.part", "gymnasium.envs.x", "nowhere"], "config.yaml")
        other = stranger / "other"
        other.mkdir()
        shutil.copy(stranger / "evil.py", other)
        monkeypatch.chdir(other)
        with pytest.raises(known.UserError, match="names the module evil,"):
            known.check_modules(["evil"], "config.yaml")
        mode = stat.S_IMODE(os.stat(known._file()).st_mode)
        assert mode & 0o077 == 0 and capsys.readouterr().err == ""

    def test_a_list_that_cannot_be_kept(self, stranger, monkeypatch, capsys):
        (stranger / "state").touch()
        monkeypatch.setenv("XDG_STATE_HOME", str(stranger / "state"))
        known.remember(["evil"])
        assert "takes --trust" in capsys.readouterr().err
        with pytest.raises(known.UserError, match="--trust"):
            known.check_modules(["evil"], "config.yaml")

    def test_trust_belongs_to_resume(self, cli: Cli):
        outcome = cli("--trust", "env=CartPole-v1")
        assert outcome.status == 2 and "--trust belongs to resume=" in outcome.err
        assert trpo_tune(["--trust", "env=CartPole-v1"]) == 2


JOB = {
    "number": 0,
    "overrides": ["env=CartPole-v1", "algo=ppo", "total_steps=128"],
    "differs": [],
    "folder": "0",
}
SWEEP = {
    "format": 1,
    "command": "trpo-run -m",
    "created": "2026-01-01",
    "config_dir": None,
    "hydra": [],
    "threads": 1,
    "jobs": [JOB],
}


def sweep_dir(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "sweep.json").write_text(json.dumps({**SWEEP, **changes}))
    return folder


class TestSweeps:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"hydra": ["+hydra.launcher._target_=numpy.load"]}, "can run programs"),
            ({"hydra": ["hydra/launcher=submitit_local"]}, "can run programs"),
            ({"hydra": ["hydra.searchpath=[file:///tmp]"]}, "can run programs"),
            ({"hydra": ["hydra.sweep.subdir=../.."]}, "can run programs"),
            ({"config_dir": "/tmp/conf"}, "config_dir=/tmp/conf"),
            ({"jobs": [{**JOB, "overrides": ["init=/home/me/run"]}]}, "or read files"),
            ({"jobs": [{**JOB, "overrides": ["hydra.job.chdir=true"]}]}, "can run programs"),
            ({"jobs": [{**JOB, "overrides": ["+env.kwargs.a=${oc.env:HOME}"]}]}, "oc.env"),
            ({"jobs": [{**JOB, "overrides": ["env=evil:Evil-v0"]}]}, "the module evil"),
            ({"jobs": [{**JOB, "overrides": ["env='evil two:Evil-v0'"]}]}, "evil two"),
            ({"jobs": [{**JOB, "overrides": ["env.wrappers=[{evil:W:{a:1}}]"]}]}, "evil"),
            ({"jobs": [{**JOB, "overrides": [r"algo=evil-one\\:Rule"]}]}, "evil-one"),
        ],
    )
    def test_run_nothing_without_trust(self, stranger, capsys, changes, words):
        folder = sweep_dir(stranger / "sweep", **changes)
        assert trpo_run.main([f"resume={folder}"]) == 2
        said = capsys.readouterr().err
        assert words in said and "--trust" in said and str(folder / "sweep.json") in said
        assert [path.name for path in folder.iterdir()] == ["sweep.json"]
        assert not (stranger / "witness").exists()

    def test_a_run_that_has_begun(self, stranger, config_text, capsys):
        folder = sweep_dir(stranger / "sweep")
        make_run(folder / "0", config_text.replace("id: CartPole-v1", "id: evil:Evil-v0"))
        assert trpo_run.main([f"resume={folder}"]) == 2
        assert "names the module evil" in capsys.readouterr().err
        assert not (stranger / "witness").exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"more": 1},
            {"threads": "two"},
            {"threads": True},
            {"hydra": "hydra/launcher=basic"},
            {"hydra": [1]},
            {"jobs": []},
            {"jobs": [JOB, JOB]},
            {"jobs": [JOB, {**JOB, "number": 1}]},
            {"jobs": [{**JOB, "overrides": [["env=CartPole-v1"]]}]},
            {"jobs": [{**JOB, "number": 2**40}]},
            {"jobs": [{**JOB, "more": 1}]},
            {"jobs": [{"number": 0}]},
            {"jobs": 3},
        ],
    )
    def test_only_known_keys_with_values_of_their_kind(self, stranger, capsys, changes):
        folder = sweep_dir(stranger / "sweep", **changes)
        assert trpo_run.main([f"resume={folder}"]) == 2
        assert "cannot be read as the index of a sweep" in capsys.readouterr().err

    @pytest.mark.parametrize("path", ["../outside", "/tmp/outside", ".", "", "a/../../outside"])
    def test_jobs_stay_inside(self, stranger, capsys, path):
        folder = sweep_dir(stranger / "sweep", jobs=[{**JOB, "folder": path}])
        assert trpo_run.main([f"resume={folder}"]) == 2
        assert "is no folder inside" in capsys.readouterr().err

    def test_jobs_follow_no_link(self, stranger, capsys):
        (stranger / "outside" / "0").mkdir(parents=True)
        folder = sweep_dir(stranger / "sweep", jobs=[{**JOB, "folder": "runs/0"}])
        (folder / "runs").symlink_to(stranger / "outside")
        assert trpo_run.main([f"resume={folder}"]) == 2
        assert "is a symbolic link" in capsys.readouterr().err
        assert list((stranger / "outside" / "0").iterdir()) == []

    @pytest.mark.parametrize("path", ["../up", ".", "/tmp/elsewhere"])
    def test_begin_with_folders_inside(self, cli: Cli, path):
        outcome = cli("-m", "env=CartPole-v1", f"hydra.sweep.subdir={path}", "seed=0")
        assert outcome.status == 2 and "is no folder inside that of the sweep" in outcome.err
        assert cli.written() == []

    def test_of_ones_own_need_no_word(self, stranger, monkeypatch):
        folder = sweep_dir(stranger / "sweep", hydra=["hydra/launcher=basic"], config_dir="/conf")
        powers = of_sweep(index.read(folder))
        assert powers.settings == ["hydra/launcher=basic", "config_dir=/conf"]
        powers.remember()
        powers.check("sweep.json")

    def test_plain_ones_need_no_word(self, stranger):
        plain = ["hydra/launcher=workers", "hydra.launcher.jobs=2", "hydra.sweep.dir=/x y"]
        folder = sweep_dir(stranger / "sweep", hydra=plain)
        assert of_sweep(index.read(folder)) == ([], [])


SEARCH = {
    "format": 1,
    "command": "trpo-tune",
    "overrides": ["env=CartPole-v1", "algo=ppo"],
    "space": "algo.epochs: {low: 1, high: 3}",
    "seeds": 1,
    "trials": 1,
    "sampler": "random",
    "prune": True,
    "search_seed": -1,
    "config_dir": None,
}
RACE = {"format": 3, "prune": "halving"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overrides": ["env=evil:Evil-v0"]}, "the module evil"),
        ({"space": "env: [CartPole-v1, 'evil:Evil-v0']"}, "the module evil"),
        ({"space": "hydra/launcher: [a, b]"}, "can run programs"),
        ({"config_dir": "/tmp/conf"}, "config_dir=/tmp/conf"),
        ({"seeds": "many"}, "cannot be read as the settings of a search: seeds='many'"),
        ({"overrides": [1]}, "cannot be read as the settings of a search: overrides=[1]"),
        ({"more": 1}, "cannot be read as the settings of a search"),
        ({**RACE, "candidates": [{"env": "evil:Evil-v0"}]}, "the module evil"),
        ({**RACE, "candidates": [{"a": "1"}, {"b": "1"}]}, "of a search: candidates="),
        ({**RACE, "candidates": [{"a": 1}]}, "of a search: candidates="),
        ({**RACE, "prune": True}, "of a search: prune=True"),
        ({**RACE, "prune": "never"}, "of a search: prune='never'"),
        ({"prune": "median"}, "cannot be read as the settings of a search"),
    ],
)
def test_a_search_runs_nothing_without_trust(stranger, capsys, changes, words):
    folder = stranger / "search"
    folder.mkdir()
    (folder / "tune.json").write_text(json.dumps({**SEARCH, **changes}))
    assert trpo_tune([f"resume={folder}"]) == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["tune.json"]
    assert not (stranger / "witness").exists()
