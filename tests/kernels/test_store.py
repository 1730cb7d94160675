"""Compiled code is kept, shared between processes, and never in the way."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import pytest
from numba.core import event

from trpo_cli.kernels import store
from trpo_cli.kernels.jit import compiled

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
REPOSITORY = Path(__file__).parents[2]


def compilations() -> int:
    """How often a function is compiled that another process may have compiled before."""

    def double(x: int) -> int:
        return 2 * x

    with event.install_recorder("numba:compile") as seen:
        assert compiled(double)(21) == 42
    return sum(each.is_start for _, each in seen.buffer)


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Forget what the store knows, as in a new process; returns what it will say."""

    def forget() -> list[str]:
        said: list[str] = []
        monkeypatch.setattr(store, "_problem", "")
        monkeypatch.setattr(store, "_tell", said.append)
        store._folder.cache_clear()
        return said

    yield forget
    store._folder.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Callable[[], list[str]]) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    begin()
    found = store._folder()
    assert found is not None
    return found


def test_is_compiled_once(folder, begin):
    said = begin()
    assert compilations() == 1
    assert said == [f"{store.COMPILING}, once for this machine and version: up to 15 seconds"]
    said = begin()
    assert compilations() == 0
    assert not said
    assert folder.stat().st_mode & 0o777 == 0o700


def raised(x: int) -> tuple[object, ...]:
    """The arguments of an exception that a part of a compiled function raises."""

    @compiled
    def positive(x: int) -> int:
        if x <= 0:
            raise ValueError("not positive", x)
        return x

    @compiled
    def total(x: int) -> int:
        return positive(x) + positive(x - 1)

    with pytest.raises(ValueError) as error:
        total(x)
    return error.value.args


def test_exception_out_of_a_part(folder):
    """As the process has it that compiles, and as one that reads what was compiled."""
    assert raised(1) == ("not positive", 0)
    assert [file.name for file in folder.glob("*total*")]
    assert raised(-1) == ("not positive", -1)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"x"]
)
def test_damaged_file(folder, damage):
    compilations()
    (file,) = folder.glob("*double*")
    file.write_bytes(damage(file.read_bytes()))
    assert compilations() == 1
    assert compilations() == 0


def test_place_that_cannot_be_written(tmp_path, monkeypatch, begin):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))
    said = begin()
    assert [compilations(), compilations()] == [1, 1]
    assert len(said) == 1
    assert f"{tmp_path}/file/cache" in said[0]
    assert "Not a directory" in said[0]
    assert "NUMBA_CACHE_DIR=DIR" in said[0]


def test_filled_place_that_cannot_be_written(folder, begin, monkeypatch):
    compilations()
    monkeypatch.setattr(store, "_begin_turn", lambda: pytest.fail("nothing has to be written"))
    said = begin()
    assert compilations() == 0
    assert not said


def test_others_can_write(folder, begin):
    """What lies there is executed."""
    compilations()
    folder.chmod(0o777)
    said = begin()
    assert compilations() == 1
    assert f"others can write to {folder}" in said[0]


class TestHome:
    @pytest.fixture(autouse=True)
    def nothing_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)

    def test_missing(self, begin):
        begin()
        found = store._folder()
        assert found is not None
        assert found.parent == Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "trpo_cli")

    def test_user_without_one(self, begin, monkeypatch):
        monkeypatch.setattr(Path, "home", self.no_home)
        said = begin()
        assert compilations() == 1
        assert "there is no home folder" in said[0]

    @staticmethod
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")


def test_old_versions_are_cleared_away(folder):
    above = folder.parent
    above.mkdir()
    for age in range(5):
        old = above / f"kernels-{age:016d}"
        old.mkdir()
        (old / "something").touch()
        os.utime(old, (1000 - age, 1000 - age))
    for other in ("kernels-mine", "index"):
        (above / other).mkdir()
    compilations()
    names = {folder.name, f"kernels-{0:016d}", f"kernels-{1:016d}", "kernels-mine", "index"}
    assert {each.name for each in above.iterdir()} == names


HOLDER = (
    "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); input()"
)


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is compiling and will never be done."""
    folder.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-c", HOLDER, str(folder / "lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_killed_while_compiling(holder, begin, monkeypatch):
    said = begin()

    def kill(words: str) -> None:
        said.append(words)
        holder.kill()

    monkeypatch.setattr(store, "_tell", kill)
    assert compilations() == 1
    assert said == [f"waiting for another process, which is {store.COMPILING}"]


def test_stopped_while_compiling(holder, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.3)
    assert compilations() == 1


AT_ONCE = """
from trpo_cli.kernels import store
from tests.kernels.test_store import compilations
store.listen(lambda words: print(words, flush=True))
print(compilations(), flush=True)
"""


def test_two_processes_at_once(folder):
    """Both have to wait, for us; then one compiles and the other reads."""
    folder.mkdir(parents=True, mode=0o700)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        both = [
            subprocess.Popen(
                [sys.executable, "-c", AT_ONCE], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
            )
            for _ in range(2)
        ]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("waiting for another process")
    counts = sorted(process.communicate()[0].strip() for process in both)
    assert counts == ["0", "1"]
