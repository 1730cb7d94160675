"""``eval.video``: the first episodes of each evaluation in training, recorded beside the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.config import Config
from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.runs.directory import VIDEOS, refuse_links, write_atomically
from trpo_cli.training.evaluation import Abandoned, Told

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.simulators.screen import Screen

GIF_SIDE, GIF_SECONDS = 240, 10.0
"""Of what TensorBoard shows: an events file is read as a whole."""


def check_video(config: Config) -> None:
    """Raise `UserError` where `eval.video` asks for what cannot be drawn or encoded here."""
    if not config.eval.video:
        return
    from trpo_cli.simulators.screen import make_screen
    from trpo_cli.video.encode import need_encoder

    said = f"eval.video={config.eval.video}"
    need_encoder(said)
    try:
        make_screen(config.env).close()
    except UserError as error:
        raise UserError(f"{said}: {error}") from error


class Filmer:
    """Writes videos/<step>_<n>.mp4. Training never notices: it has a screen and seeds of its own,
    and goes on without videos where one cannot be made.

    gif: of the first episode of the newest evaluation, for TensorBoard; None: there is none.
    """

    def __init__(self, config: Config, run_dir: Path) -> None:
        self._env, self._run_dir = config.env, run_dir
        self.count = min(config.eval.video, config.eval.episodes or 0)
        self.gif: bytes | None = None
        self._screen: Screen | None = None
        self._warned = False

    def record(
        self,
        step: int,
        episodes: Sequence[tuple[int, np.ndarray, float]],
        abandon: Callable[[], bool],
        told: Told,
    ) -> None:
        """Record the episodes (seed, actions, return) of the evaluation at a step.

        Raises `Abandoned` once `abandon` says yes.
        """
        self.gif = None
        try:
            self._record(step, episodes, abandon, told)
        except Abandoned:
            raise
        except FOREIGN as error:
            print(f"warning: no more videos from here on: {error}", file=sys.stderr)
            self.count = 0

    def _record(
        self,
        step: int,
        episodes: Sequence[tuple[int, np.ndarray, float]],
        abandon: Callable[[], bool],
        told: Told,
    ) -> None:
        from trpo_cli.simulators.screen import make_screen
        from trpo_cli.video.encode import Gif
        from trpo_cli.video.film import film, hertz, other_course

        screen = self._screen = self._screen or make_screen(self._env)
        folder, steps = self._run_dir / VIDEOS, 0
        refuse_links(self._run_dir, [VIDEOS])
        folder.mkdir(exist_ok=True)

        def each() -> None:
            nonlocal steps
            if abandon():
                raise Abandoned
            steps += 1
            told(number, steps)

        for number, (seed, actions, paid) in enumerate(episodes):
            gif = None if number else Gif(hertz(screen), GIF_SIDE, GIF_SECONDS)
            made = film(screen, seed, actions, gif=gif, each=each)
            write_atomically(folder / f"{step}_{number}.mp4", made.mp4)
            self.gif = made.gif or self.gif
            if made.total != paid and not self._warned:
                self._warned = True
                print(f"warning: eval.video: {other_course(made.total, paid)}", file=sys.stderr)

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close()
