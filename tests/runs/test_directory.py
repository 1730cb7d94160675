import json
import threading

import pytest

from trpo_cli.errors import UserError
from trpo_cli.runs import directory
from trpo_cli.runs.append import append_row


class TestRequire:
    def test_says_what_is_wrong(self, tmp_path):
        (tmp_path / "file").touch()
        for name, words in (("no", "does not exist"), ("file", "is a file"), ("", "config.yaml")):
            with pytest.raises(UserError, match=words):
                directory.require(tmp_path / name)


def test_lines_of_two_writers_never_mix(tmp_path):
    path = tmp_path / "eval.jsonl"

    def write(letter: str) -> None:
        for _ in range(200):
            append_row(path, {"text": letter * 500}, None)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = sorted(json.loads(line)["text"] for line in path.read_text().splitlines())
    assert texts == ["a" * 500] * 200 + ["b" * 500] * 200


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    directory.write_atomically(path, b"old")

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(directory.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            directory.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    directory.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]
