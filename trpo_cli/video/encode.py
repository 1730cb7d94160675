"""Images to the bytes of an MP4 or a GIF. Nothing is kept but what the file needs."""

from __future__ import annotations

import importlib.util
import io
import math
from fractions import Fraction

import numpy as np
from PIL import Image

from trpo_cli.errors import UserError

X264 = {"crf": "23", "preset": "veryfast"}
"""A lower rate factor is better and larger; slower presets make it smaller, not better."""
GIF_SIDE, GIF_HERTZ = 320, 20.0
"""A GIF is at most so large and so quick: it stores every image nearly as it is."""


def need_encoder(said: str) -> None:
    """Raise `UserError` without PyAV. said: what asks for a video."""
    if importlib.util.find_spec("av") is None:
        raise UserError(
            f'{said} needs PyAV, which is not installed: pip install "trpo_cli[video]".'
        )


class Mp4:
    """H.264, which browsers and players show. hertz: images a second."""

    def __init__(self, hertz: float) -> None:
        import av

        self._bytes = io.BytesIO()
        self._file = av.open(self._bytes, "w", format="mp4")
        rate = Fraction(hertz).limit_denominator(1000)
        self._stream = self._file.add_stream("libx264", rate=rate, options=X264)
        self._stream.pix_fmt = "yuv420p"
        self._stream.thread_count = 1  # the cores are for the simulators
        self._begun = False

    def add(self, image: np.ndarray) -> None:
        """image: (height, width, 3) uint8, of the same size each time."""
        import av

        height, width = image.shape[:2]
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")  # as H.264 wants
        if not self._begun:
            self._stream.height, self._stream.width = image.shape[:2]
            self._begun = True
        self._file.mux(self._stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))

    def finish(self) -> bytes:
        self._file.mux(self._stream.encode())
        self._file.close()
        return self._bytes.getvalue()


class Gif:
    """Plays for ever. hertz: images a second that are added; side: its largest height or width;
    seconds: where it ends, which a long one has to in memory."""

    def __init__(self, hertz: float, side: int = GIF_SIDE, seconds: float = 30.0) -> None:
        self._every = math.ceil(hertz / GIF_HERTZ)
        self._duration = round(100 * self._every / hertz) * 10  # a GIF counts in 10 ms
        self._side, self._most = side, int(seconds * hertz)
        self._added, self._images = 0, list[Image.Image]()

    def add(self, image: np.ndarray) -> None:
        if self._added % self._every == 0 and self._added < self._most:
            small = Image.fromarray(image)
            small.thumbnail((self._side, self._side))
            self._images.append(small.quantize(128, Image.Quantize.FASTOCTREE))
        self._added += 1

    def finish(self) -> bytes:
        bytes_ = io.BytesIO()
        first, *others = self._images
        first.save(
            bytes_, "GIF", save_all=True, append_images=others, duration=self._duration, loop=0
        )
        return bytes_.getvalue()
