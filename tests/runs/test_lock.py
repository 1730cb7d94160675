import subprocess
import sys

import pytest

from trpo_cli.errors import UserError
from trpo_cli.runs.lock import Lock, is_held


def test_one_at_a_time(tmp_path):
    with Lock(tmp_path), pytest.raises(UserError, match=r"still going \(process \d+ on .*\)"):
        Lock(tmp_path)
    with Lock(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from trpo_cli.runs.lock import Lock;"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {process.pid} "):
            Lock(tmp_path)
        process.kill()
    with Lock(tmp_path):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Lock(tmp_path):
        pass
    assert "No locks available" in capsys.readouterr().err
