"""`trpo-run` inside the test process, with a stand-in for training and without torch."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trpo_cli.commands import run as cli
from trpo_cli.config import Config
from trpo_cli.runs.directory import LOCK
from trpo_cli.training.build import Prepared


@dataclass
class Outcome:
    status: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs command lines in an empty folder; `trained` lists what reached training."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    folder: Path
    trained: list[tuple[Config, Path, list[str]]] = field(default_factory=list)
    resumed: list[tuple[Config, Path, list[str]]] = field(default_factory=list)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        module: Any = types.ModuleType("trpo_cli.training.loop")
        module.train = self._train
        self.monkeypatch.setitem(sys.modules, "trpo_cli.training.loop", module)
        self.monkeypatch.setitem(sys.modules, "torch", None)  # importing it would raise
        self.monkeypatch.chdir(self.folder)

    def _train(
        self,
        prepared: Prepared,
        run_dir: Path,
        command: list[str],
        *,
        resume: bool = False,
        processes: Any = None,
        lock: Any = None,
    ) -> None:
        config = prepared.config
        if resume:
            self.resumed.append((config, run_dir, command))
            return
        assert [path.name for path in run_dir.iterdir()] == [LOCK]
        self.trained.append((config, run_dir, command))
        if self.failure is not None:
            raise self.failure

    def __call__(self, *arguments: str) -> Outcome:
        self.capsys.readouterr()
        status = cli.main(list(arguments))
        captured = self.capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    def config(self, *arguments: str) -> Config:
        """The configuration that a good command line reaches training with."""
        outcome = self(*arguments)
        assert outcome.status == 0, outcome.err
        return self.trained[-1][0]

    def written(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))
