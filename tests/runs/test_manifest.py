import importlib.metadata
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import trpo_cli
from trpo_cli.errors import UserError
from trpo_cli.runs import manifest
from trpo_cli.system import machine


def start(folder, **changes):
    facts = {"seed": 7, "device": "cpu", "backend": "mujoco", "threads": 2, **changes}
    return manifest.start(folder, command=["trpo-run", "env=My Env-v0"], **facts)


def content(folder):
    return json.loads((folder / "manifest.json").read_text())


class TestManifest:
    def test_what_it_says_at_the_start(self, tmp_path):
        start(tmp_path)
        found = content(tmp_path)
        assert found["status"] == "running" and found["reason"] is None
        assert found["version"] == trpo_cli.__version__
        assert found["command"] == "trpo-run 'env=My Env-v0'"
        expected = {"seed": 7, "device": "cpu", "backend": "mujoco", "threads": 2, "step": 0}
        assert {key: found[key] for key in expected} == expected
        for library in ("torch", "numpy", "gymnasium", "mujoco"):
            assert found["versions"][library] == importlib.metadata.version(library)
        assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
        assert {"hostname", "os", "cpu", "cores"} <= found["machine"].keys()
        assert "gpu" not in found["machine"]
        begun = datetime.fromisoformat(found["started"])
        assert begun.tzinfo == UTC and datetime.now(UTC) - begun < timedelta(minutes=1)
        assert found["ended"] is None

    @pytest.mark.parametrize("status", ["finished", "interrupted", "failed"])
    def test_how_it_ended(self, tmp_path, status):
        start(tmp_path).finish(status, "because", step=4096)
        found = manifest.read(tmp_path)
        assert (found["status"], found["reason"], found["step"]) == (status, "because", 4096)
        assert datetime.fromisoformat(found["ended"]) >= datetime.fromisoformat(found["started"])

    def test_unknown_status(self, tmp_path):
        with pytest.raises(ValueError, match="done"):
            start(tmp_path).finish("done")

    def test_a_gpu_that_cannot_be_asked_stops_nothing(self, tmp_path):
        start(tmp_path, device="cuda")
        assert "gpu" in content(tmp_path)["machine"]

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}'])
    def test_broken(self, tmp_path, text):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UserError, match="cannot be read as a manifest"):
            manifest.read(tmp_path)

    def test_missing_or_newer(self, tmp_path):
        assert manifest.read(tmp_path) == {}
        (tmp_path / "manifest.json").write_text('{"format": 3}')
        with pytest.raises(UserError, match="newer"):
            manifest.read(tmp_path)

    def test_a_change_is_noticed(self, tmp_path):
        start(tmp_path)
        path = tmp_path / "manifest.json"
        path.write_text(path.read_text().replace('"threads": 2', '"threads": 3'))
        with pytest.raises(UserError, match="was changed after it was written"):
            manifest.read(tmp_path)

    def test_imports_no_library_to_learn_its_version(self):
        code = (
            "import sys, trpo_cli.runs.manifest, trpo_cli.system.machine as m; m.versions(); "
            "sys.exit(bool({'torch', 'mujoco', 'gymnasium', 'numpy'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def git(folder, *arguments):
    settings = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def facts(folder: Path) -> Any:
    return machine.checkout(folder)


class TestCheckout:
    @pytest.fixture
    def checkout(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "GIT_SECONDS", 10.0)  # a busy machine is not what is tested
        git(tmp_path, "init", "-q")
        (tmp_path / "file").write_text("1")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "first")
        return tmp_path

    def test_clean_then_dirty(self, checkout):
        commit = git(checkout, "rev-parse", "HEAD")
        assert facts(checkout) == {"commit": commit, "dirty": False}
        (checkout / "file").write_text("2")
        assert facts(checkout) == {"commit": commit, "dirty": True}

    def test_an_untracked_file_is_dirty(self, checkout):
        (checkout / "new").touch()
        assert facts(checkout)["dirty"] is True

    def test_packed_references_and_a_detached_head(self, checkout):
        commit = git(checkout, "rev-parse", "HEAD")
        git(checkout, "pack-refs", "--all")
        assert facts(checkout)["commit"] == commit
        git(checkout, "checkout", "-q", "--detach")
        assert facts(checkout)["commit"] == commit

    def test_a_worktree(self, checkout, tmp_path_factory):
        tree = tmp_path_factory.mktemp("trees") / "tree"
        git(checkout, "worktree", "add", "-q", str(tree))
        commit = git(tree, "rev-parse", "HEAD")
        assert facts(tree) == {"commit": commit, "dirty": False}

    def test_a_folder_below_a_repository_is_no_checkout(self, checkout):
        """A package in a virtual environment that lies inside some repository."""
        inside = checkout / ".venv" / "lib"
        inside.mkdir(parents=True)
        assert facts(inside) is None

    def test_another_repository_in_the_variables_is_ignored(self, checkout, monkeypatch):
        monkeypatch.setenv("GIT_DIR", "/nowhere")
        assert facts(checkout)["dirty"] is False

    def test_without_git_the_commit_is_known(self, checkout, monkeypatch):
        commit = git(checkout, "rev-parse", "HEAD")
        monkeypatch.setenv("PATH", "")
        assert facts(checkout) == {"commit": commit, "dirty": None}

    def test_a_slow_git_is_not_waited_for(self, checkout, monkeypatch):
        slow = checkout / "bin"
        slow.mkdir()
        (slow / "git").write_text("#!/bin/sh\nexec /bin/sleep 5\n")
        (slow / "git").chmod(0o755)
        monkeypatch.setenv("PATH", str(slow))
        monkeypatch.setattr(machine, "GIT_SECONDS", 0.05)
        began = time.perf_counter()
        assert facts(checkout)["dirty"] is None
        assert time.perf_counter() - began < 2.0


class TestKernels:
    def test_what_this_process_computes_with(self):
        import numpy as np

        np.ones((2, 2)) @ np.ones((2, 2))
        found = machine.kernels()
        assert found["numpy"] and all(found.values())

    def test_another_processor_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "kernels", lambda: {"openblas": "Haswell", "numpy": "X86_V3"})
        start(tmp_path)
        monkeypatch.setattr(machine, "kernels", lambda: {"openblas": "SkylakeX", "torch": "AVX2"})
        words = "the code of openblas for SkylakeX instead of Haswell"
        assert manifest.changed_numbers(tmp_path) == words

    def test_the_same_one_is_not(self, tmp_path):
        start(tmp_path)
        assert manifest.changed_numbers(tmp_path) == ""
