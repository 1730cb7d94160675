import contextlib
import json
import math
import os
import pickle
import shutil

import numpy as np
import pytest
import torch

from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint
from trpo_cli.runs.exact_json import decode, encode


def tensors():
    flat = torch.arange(6, dtype=torch.float32)
    return {
        "policy/parameters": flat,
        "view": flat[2:5],  # shares its memory with the one above
        "transposed": torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
        "array": np.arange(4.0)[::2],
        "flags": torch.tensor([True, False]),
        "count": torch.tensor(7, dtype=torch.int64),
        "learned": torch.ones(2, requires_grad=True),
    }


def state():
    return {
        "step": 2048,
        "generator": np.random.PCG64(1).state,  # two 128-bit integers
        "best": -math.inf,
        "recent": [0.1 + 0.2, 1e300, -0.0],
        "note": None,
        "done": False,
    }


def save(run_dir, step):
    checkpoint.save(checkpoint.path(run_dir, step), tensors(), {**state(), "step": step})
    checkpoint.point(run_dir, "last", step)


def names(run_dir):
    return sorted(p.name for p in (run_dir / "checkpoints").iterdir())


class TestRoundTrip:
    def test_tensors_and_state_come_back_exactly(self, tmp_path):
        save(tmp_path, 2048)
        loaded, loaded_state = checkpoint.load(checkpoint.path(tmp_path, 2048))
        assert loaded.keys() == tensors().keys()
        for name, tensor in tensors().items():
            expected = tensor if isinstance(tensor, np.ndarray) else tensor.detach().numpy()
            assert loaded[name].dtype == expected.dtype and loaded[name].shape == expected.shape
            assert np.array_equal(loaded[name], expected)
        assert loaded_state == state()
        assert math.copysign(1, loaded_state["recent"][2]) == -1

    def test_a_generator_goes_on_where_it_was(self, tmp_path):
        generator = np.random.default_rng(5)
        generator.random(10)
        folder = checkpoint.path(tmp_path, 1)
        checkpoint.save(folder, {}, {"generator": generator.bit_generator.state})
        other = np.random.default_rng(0)
        other.bit_generator.state = checkpoint.load(folder)[1]["generator"]
        assert other.random() == generator.random()

    def test_loaded_tensors_can_be_written_to(self, tmp_path):
        save(tmp_path, 1)
        loaded, _ = checkpoint.load(checkpoint.path(tmp_path, 1))
        loaded["policy/parameters"] += 1

    def test_only_tensors_and_strict_json(self, tmp_path):
        save(tmp_path, 1)
        folder = checkpoint.path(tmp_path, 1)
        assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".json", ".safetensors"]
        text = (folder / "state.json").read_text()
        assert "Infinity" not in text and "NaN" not in text

    @pytest.mark.parametrize("bad", [{"a": object()}, {1: 2}, {"a": np.zeros(2)}, {"a": b"x"}])
    def test_what_json_cannot_hold_is_refused_before_writing(self, tmp_path, bad):
        with pytest.raises(TypeError):
            checkpoint.save(checkpoint.path(tmp_path, 1), {}, bad)
        assert not (tmp_path / "checkpoints").exists()

    def test_nan_comes_back(self):
        assert math.isnan(decode(encode([math.nan]))[0])


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


STEPS = ["mkdir", "write 0", "write 1", "write 2", "sync", "rename 0", "rename 1", "rmtree"]


@pytest.mark.parametrize("moment", STEPS)
@pytest.mark.parametrize("same_step", [False, True])
def test_killed_at_any_moment_one_whole_checkpoint_is_there(
    tmp_path, monkeypatch, moment, same_step
):
    save(tmp_path, 1)
    target = 1 if same_step else 2
    calls = {"write": 0, "rename": 0}
    real_write, real_rename = checkpoint.write_durably, os.rename

    def die(*_args, **_kwargs):
        raise Killed

    def write(path, data):
        if moment == f"write {calls['write']}":
            path.write_bytes(data[: len(data) // 2])
            raise Killed
        calls["write"] += 1
        real_write(path, data)

    def rename(source, destination):
        if moment == f"rename {calls['rename']}":
            raise Killed
        calls["rename"] += 1
        real_rename(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_durably", write)
        patch.setattr(os, "rename", rename)
        if moment == "sync":
            patch.setattr(checkpoint, "sync_folder", die)
        if moment == "mkdir":
            patch.setattr(type(tmp_path), "mkdir", die)
        if moment == "rmtree":
            patch.setattr(shutil, "rmtree", die)
        with contextlib.suppress(Killed):
            checkpoint.save(checkpoint.path(tmp_path, target), {}, {"step": target, "new": True})
    _, loaded = checkpoint.load(checkpoint.latest(tmp_path))
    assert loaded["step"] in (1, target)
    save(tmp_path, 3)  # what was left behind disturbs nobody
    assert checkpoint.latest(tmp_path).name == "step_3"
    assert not [name for name in names(tmp_path) if name.startswith(".tmp")]


class TestDamage:
    @pytest.fixture
    def folder(self, tmp_path):
        save(tmp_path, 1)
        return checkpoint.path(tmp_path, 1)

    def refused(self, folder, words):
        with pytest.raises(UserError, match=words) as caught:
            checkpoint.load(folder)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "nothing", "no checkpoint at")

    @pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "index.json"])
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        self.refused(folder, name)

    @pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "index.json"])
    def test_a_truncated_file(self, folder, name):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
        self.refused(folder, name)

    @pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
    def test_one_flipped_bit(self, folder, name):
        data = bytearray((folder / name).read_bytes())
        data[-2] ^= 1
        (folder / name).write_bytes(data)
        self.refused(folder, "SHA-256")

    def test_a_newer_format(self, folder):
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**index, "format": 99}))
        self.refused(folder, "format 99.*newer")

    @pytest.mark.parametrize("index", ["[]", "{}", '{"format": 1}', '{"format": "x"}', "null"])
    def test_an_index_of_another_shape(self, folder, index):
        (folder / "index.json").write_text(index)
        self.refused(folder, "index.json")

    def test_a_pickle_is_never_run(self, folder, tmp_path):
        """Even with matching checksums: the reader of the tensor file knows no code."""
        witness = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (os.mkdir, (str(witness),))

        data = pickle.dumps(Evil())
        (folder / "tensors.safetensors").write_bytes(data)
        self.refused(folder, "damaged")
        index = json.loads((folder / "index.json").read_text())
        digest = checkpoint.hashlib.sha256(data).hexdigest()
        index["files"]["tensors.safetensors"] = {"bytes": len(data), "sha256": digest}
        (folder / "index.json").write_text(json.dumps(index))
        self.refused(folder, "cannot be read")
        assert not witness.exists()
        pickle.loads(data)
        assert witness.exists()  # the pickle would have done it


class TestFinding:
    def test_latest_is_the_largest_step(self, tmp_path):
        for step in (1000, 200, 30):
            save(tmp_path, step)
        assert checkpoint.latest(tmp_path).name == "step_1000"
        assert checkpoint.find(tmp_path, "last") == checkpoint.latest(tmp_path)
        assert checkpoint.step_of(checkpoint.find(tmp_path, "step_200")) == 200

    def test_a_damaged_newest_one_is_passed_over_aloud(self, tmp_path, capsys):
        save(tmp_path, 1)
        save(tmp_path, 2)
        (checkpoint.path(tmp_path, 2) / "state.json").write_text("{}")
        assert checkpoint.latest(tmp_path).name == "step_1"
        assert "step_2" in capsys.readouterr().err

    def test_none_yet(self, tmp_path):
        with pytest.raises(UserError, match="no checkpoint yet"):
            checkpoint.latest(tmp_path)

    @pytest.mark.parametrize("name", ["step_7", "best"])
    def test_not_there(self, tmp_path, name):
        save(tmp_path, 1)
        with pytest.raises(UserError, match=rf"no checkpoint {name}.*step_1"):
            checkpoint.find(tmp_path, name)

    @pytest.mark.parametrize("name", ["../../secret", "step_", "newest"])
    def test_other_words(self, tmp_path, name):
        with pytest.raises(UserError, match="none of last, best"):
            checkpoint.find(tmp_path, name)

    def test_links_follow(self, tmp_path):
        save(tmp_path, 1)
        checkpoint.point(tmp_path, "best", 1)
        save(tmp_path, 2)
        folder = tmp_path / "checkpoints"
        assert checkpoint.load(folder / "last")[1]["step"] == 2
        assert checkpoint.load(folder / "best")[1]["step"] == 1
        assert checkpoint.step_of(checkpoint.find(tmp_path, "best")) == 1

    def test_links_are_relative(self, tmp_path):
        save(tmp_path / "run", 1)
        (tmp_path / "run").rename(tmp_path / "moved")
        assert checkpoint.load(tmp_path / "moved" / "checkpoints" / "last")[1]["step"] == 1

    def test_without_links_nothing_is_lost(self, tmp_path, monkeypatch):
        def refuse(*_args):
            raise OSError("no links here")

        monkeypatch.setattr(os, "symlink", refuse)
        save(tmp_path, 1)
        assert names(tmp_path) == ["step_1"]
        assert checkpoint.find(tmp_path, "last").name == "step_1"

    def test_prune_keeps_the_newest_and_the_linked(self, tmp_path):
        for step in (1, 2, 3, 10):
            save(tmp_path, step)
            if step == 1:
                checkpoint.point(tmp_path, "best", 1)
        checkpoint.prune(tmp_path, 2)
        assert names(tmp_path) == ["best", "last", "step_1", "step_10", "step_3"]

    def test_prune_never_removes_all(self, tmp_path):
        save(tmp_path, 1)
        checkpoint.prune(tmp_path, 0)
        assert names(tmp_path) == ["last", "step_1"]
