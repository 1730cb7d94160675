from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli_stub import Cli

if TYPE_CHECKING:
    from trpo_cli.config import Config

# A shell starts background jobs with Ctrl-C ignored, nohup all with SIGHUP, and runs keep it that
# way. The tests that send these, from here or to a process of their own, must not depend on how
# they were started.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests and their processes remember of modules stays out of the user's own folder."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def one_thread_of_torch() -> Iterator[None]:
    """A run sets how many threads torch uses; the tests after it shall not wait for them."""
    yield
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """`trpo-run` in an empty folder, training replaced by a stand-in, torch out of reach."""
    return Cli(monkeypatch, capsys, tmp_path)


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[Sequence[str]], str]:
    """Gives `trpo-run` words that it has to refuse, in an empty folder that stays empty; returns
    what it said."""
    from trpo_cli.commands import run

    monkeypatch.chdir(tmp_path)

    def said(words: Sequence[str]) -> str:
        assert run.main(list(words)) == 2
        assert list(tmp_path.iterdir()) == []
        return capsys.readouterr().err

    return said


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Config], dict[str, Any]]:
    """The result of a run that was never interrupted, made once for each configuration."""
    from tests.support.running import result
    from trpo_cli.training.loop import train

    made: dict[str, dict[str, Any]] = {}

    def get(config: Config) -> dict[str, Any]:
        key = str(config)
        if key not in made:
            folder = tmp_path_factory.mktemp("reference")
            train(config, folder, ["trpo-run"])
            made[key] = result(folder)
        return made[key]

    return get
