"""Episodes of an evaluation as videos: each is played again on a screen, action by action."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trpo_cli.simulators.screen import Screen
from trpo_cli.video.encode import Gif, Mp4

MAX_HERTZ = 30.0
"""More images a second than this are left out: without a GPU, one takes a tenth of a second."""
HEIGHT = 400
"""Smaller images, such as Atari's, are enlarged by a whole number to about this."""
FONT, MARGIN, BAND = 14, 8, 24
"""Of the text above an image, in its pixels."""


@dataclass(frozen=True)
class Film:
    """One episode. total: the undiscounted sum of the rewards that were paid on the screen."""

    mp4: bytes
    gif: bytes | None
    total: float


def film(
    screen: Screen,
    seed: int,
    actions: np.ndarray,
    *,
    gif: Gif | None = None,
    overlay: bool = False,
    each: Callable[[], None] = lambda: None,
) -> Film:
    """Play an episode again and record it at the speed that it has in life.

    actions: (T, *act), as the environment took them. gif: gets the images too. overlay: draw step,
    reward and return on them. each: called at every step; what it raises ends everything.
    """
    stride = math.ceil(screen.steps_per_second / MAX_HERTZ)
    mp4, total = Mp4(hertz(screen)), 0.0

    def show(step: int, reward: float) -> None:
        image = enlarged(screen.image())
        if overlay:
            image = labelled(image, f"step {step}  reward {reward:.3g}  return {total:.4g}")
        mp4.add(image)
        if gif is not None:
            gif.add(image)

    screen.reset(seed)
    show(0, 0.0)
    for step, action in enumerate(actions, 1):
        each()
        reward = screen.step(action)
        total += reward
        if step % stride == 0 or step == len(actions):
            show(step, reward)
    return Film(mp4.finish(), None if gif is None else gif.finish(), total)


def other_course(total: float, paid: float) -> str:
    """What to say of an episode that another one came out of when it was played again."""
    return (
        f"played again, the episode paid {total:.6g} instead of {paid:.6g}. The environment "
        "depends on more than its seed and the actions, and the video shows another course."
    )


def hertz(screen: Screen) -> float:
    """Images a second of a film."""
    return screen.steps_per_second / math.ceil(screen.steps_per_second / MAX_HERTZ)


def enlarged(image: np.ndarray) -> np.ndarray:
    """(height, width, 3) by a whole number, where it is small."""
    times = max(1, round(HEIGHT / len(image)))
    return image.repeat(times, axis=0).repeat(times, axis=1)


def labelled(image: np.ndarray, text: str) -> np.ndarray:
    """A line of white text on a dark ground above the image, which hides nothing of it."""
    picture = Image.new("RGB", (image.shape[1], BAND), (20, 20, 20))
    font = ImageFont.load_default(FONT)
    ImageDraw.Draw(picture).text((MARGIN, MARGIN // 2), text, (255, 255, 255), font=font)
    return np.concatenate([np.asarray(picture), image])
