"""Videos: their images, their speed, their files, and what trpo-eval says of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.support import running
from tests.support.drawn_env import HERTZ, LENGTH
from trpo_cli.commands.evaluate import main
from trpo_cli.simulators.mujoco import drawing
from trpo_cli.simulators.screen import make_screen
from trpo_cli.training.loop import train
from trpo_cli.video import encode
from trpo_cli.video.encode import Gif
from trpo_cli.video.film import BAND, film, hertz, labelled

NEED = "PyAV, of the extra video, is not installed"
ENV = "tests.support.drawn_env:{}"


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av", reason=NEED)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run in Drawn-v0 and one in Moody-v0."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("Drawn-v0", "Moody-v0"):
        settings = {"total_steps": running.BATCH, "eval.every": 0, "eval.episodes": 1}
        (folder / name).mkdir()
        train(running.config("ppo", ENV.format(name), **settings), folder / name, ["trpo-run"])
    return folder


def images(av: Any, source: Any) -> list[np.ndarray]:
    with av.open(source) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


class TestFilm:
    def test_shows_every_step_of_the_episode_at_its_speed(self, av):
        screen = make_screen(running.config("ppo", ENV.format("Drawn-v0")).env)
        made = film(screen, 3, np.zeros(LENGTH, dtype=np.int64), gif=Gif(hertz(screen)))
        with av.open(io.BytesIO(made.mp4)) as file:
            assert file.streams.video[0].average_rate == HERTZ
        shown = images(av, io.BytesIO(made.mp4))
        # 41 x 33, ten times as large; 10 of brightness a step, within what H.264 rounds.
        assert [image.shape for image in shown] == [(410, 330, 3)] * (LENGTH + 1)
        brightness = [image.mean() for image in shown]
        assert brightness == pytest.approx(10.0 * np.arange(LENGTH + 1), abs=3.0)
        assert made.gif is not None
        gif = Image.open(io.BytesIO(made.gif))
        assert gif.info["duration"] == 1000 / HERTZ
        grey = [np.asarray(i.convert("L")).mean() for i in ImageSequence.Iterator(gif)]
        assert grey == pytest.approx(10.0 * np.arange(LENGTH + 1), abs=1.0)

    def test_the_first_and_the_last_image_of_a_quick_one_are_kept(self, av):
        screen: Any = make_screen(running.config("ppo", ENV.format("Drawn-v0")).env)
        screen.steps_per_second = 120.0
        shown = images(av, io.BytesIO(film(screen, 3, np.zeros(LENGTH, dtype=np.int64)).mp4))
        # 30 a second: those of steps 0, 4 and the last one, 6.
        assert [image.mean() for image in shown] == pytest.approx([0, 40, 60], abs=3.0)

    def test_text_stands_above_the_image(self):
        image = np.full((50, 200, 3), 90, dtype=np.uint8)
        written = labelled(image, "return 12")
        assert (written[BAND:] == image).all() and written[:BAND].max() == 255

    def test_a_long_gif_is_cut_and_a_quick_one_thinned(self):
        gif = Gif(hertz=40.0, side=8, seconds=0.5)  # of 20 images every second one
        for k in range(100):
            gif.add(np.full((16, 32, 3), k, dtype=np.uint8))
        made = Image.open(io.BytesIO(gif.finish()))
        assert len(list(ImageSequence.Iterator(made))) == 10
        assert made.size == (8, 4) and made.info["duration"] == 50


class TestCommand:
    def test_writes_the_episodes_whose_returns_it_prints(self, av, runs, tmp_path, capsys):
        words = [str(runs / "Drawn-v0"), "--video", "2", "--episodes", "3", "--json", "--trust"]
        assert main([*words, "--overlay", "--gif", "--out", str(tmp_path / "films")]) == 0
        out, err = capsys.readouterr()
        assert "played again" not in err
        for line in out.splitlines():
            record = json.loads(line)
            how = "deterministic" if record["deterministic"] else "sampled"
            names = [f"eval_128_{how}_{n}.{kind}" for n in (0, 1) for kind in ("mp4", "gif")]
            assert record["videos"] == [str(tmp_path / "films" / name) for name in names]
            assert len(images(av, record["videos"][0])) == record["lengths"][0] + 1
        assert not (runs / "Drawn-v0" / "videos").exists()

    def test_several_runs_get_a_folder_each(self, av, runs, tmp_path, capsys):
        words = [str(runs / name) for name in ("Drawn-v0", "Moody-v0")]
        words += ["--video", "1", "--sampled", "--episodes", "1", "--trust"]
        assert main([*words, "--out", str(tmp_path)]) == 0
        found = sorted(path.parent.name[-8:] for path in tmp_path.rglob("*.mp4"))
        assert found == ["Drawn-v0", "Moody-v0"]
        assert "the video shows another course" in capsys.readouterr().err  # Moody-v0's

    def test_writes_into_the_run_and_through_no_link(self, av, runs, tmp_path, capsys):
        words = [str(runs / "Drawn-v0"), "--video", "1", "--sampled", "--episodes", "1", "--trust"]
        folder = runs / "Drawn-v0" / "videos"
        folder.symlink_to(tmp_path)
        assert main(words) == 2 and list(tmp_path.iterdir()) == []
        assert "symbolic link" in capsys.readouterr().err
        folder.unlink()
        assert main(words) == 0
        assert [path.name for path in folder.iterdir()] == ["eval_128_sampled_0.mp4"]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("--gif", "--gif says how videos are written; add --video N"),
            ("--video 3 --episodes 2", "more episodes than --episodes 2"),
            ("--video 3 --render human", "cannot be combined"),
            ("--video 0", "0 is not a positive"),
        ],
    )
    def test_refuses(self, runs, capsys, line, words):
        assert main([str(runs / "Drawn-v0"), *line.split()]) == 2
        assert words in capsys.readouterr().err

    def test_without_an_encoder_names_the_extra(self, runs, monkeypatch, capsys):
        monkeypatch.setattr(encode.importlib.util, "find_spec", lambda name: None)
        before = (runs / "Drawn-v0" / "eval.jsonl").read_bytes()
        assert main([str(runs / "Drawn-v0"), "--video", "1"]) == 2
        assert 'pip install "trpo_cli[video]"' in capsys.readouterr().err
        assert (runs / "Drawn-v0" / "eval.jsonl").read_bytes() == before


@pytest.mark.slow
def test_the_camera_goes_with_a_robot_that_walks(av):
    """A hopper 20 m away is in the image: its image differs from that of the floor alone."""
    if not any(drawing._works(library) for library in drawing.OFF_SCREEN):
        pytest.skip("neither EGL nor OSMesa works here (libegl1, libosmesa6)")
    screen: Any = make_screen(running.config("ppo", "Hopper-v4").env)
    inner, seen = screen._env.unwrapped, []
    for x in (0.0, 20.0):
        position = inner.init_qpos.copy()
        position[0] = x
        inner.set_state(position, inner.init_qvel)
        seen.append(screen.image().astype(int))
    screen.close()
    orange = [(image[..., 0] > image[..., 2] + 60).mean() for image in seen]  # only the hopper is
    assert orange[0] > 0.005 and orange[1] == pytest.approx(orange[0], rel=0.2)
