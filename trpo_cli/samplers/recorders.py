"""What a group of environments shows over the steps of one iteration, kept for learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from trpo_cli.data.frames import FrameStacks, channels_first
from trpo_cli.simulators.base import Step

Observations = np.ndarray | FrameStacks


class Recorder(Protocol):
    def seen(self, t: int, observations: np.ndarray) -> np.ndarray:
        """Note what N environments show before step t; returns what the policy acts on: what is
        stored, to the bit."""
        ...

    def moved(self, t: int, step: Step) -> None:
        """Note what step t led to."""
        ...

    def so_far(self, t: int) -> dict[str, np.ndarray]:
        """What was shown up to step t, for the record of a failure."""
        ...


class VectorRecorder:
    """Float32 copies of observations of any shape, written into columns of a larger array."""

    def __init__(self, everything: np.ndarray, columns: slice) -> None:
        """everything: (T, all environments, *obs)."""
        self.everything, self._into = everything, everything[:, columns]
        self.finals: list[np.ndarray] = []
        self.last = np.zeros_like(self._into[0])

    def seen(self, t: int, observations: np.ndarray) -> np.ndarray:
        self._into[t] = observations
        return self._into[t]

    def moved(self, t: int, step: Step) -> None:
        self.finals += [np.array(final, dtype=np.float32) for final in step.final_observations]
        if t == len(self._into) - 1:
            self.last[:] = step.observations

    def so_far(self, t: int) -> dict[str, np.ndarray]:
        return {"observations": self._into[: t + 1]}


class FrameRecorder:
    """Images as bytes, each frame once.

    shifts: whether, while an episode goes on, the stack moves by one frame a step, so that one
    frame a step is new; otherwise all S planes are (the colours of a camera). Whole stacks are
    stored where the recording begins and where a new episode does.
    """

    def __init__(self, steps: int, observations: np.ndarray, shifts: bool) -> None:
        """observations: (N, *obs), what the environments show before the first step."""
        stacks = channels_first(observations)
        n, size, *frame = stacks.shape
        self._new = 1 if shifts else size
        planes = (size + steps * self._new) * n
        self._planes = np.empty((planes, *frame), dtype=stacks.dtype)
        self._planes[: size * n] = stacks.reshape(size * n, *frame)
        self._current = np.arange(size * n).reshape(n, size)
        self._index = np.empty((steps, n, size), dtype=np.int64)
        self._used = size * n
        self._more: list[np.ndarray] = []  # stacks of new episodes and final frames
        self._more_used = 0
        self._finals: list[np.ndarray] = []

    def seen(self, t: int, observations: np.ndarray) -> np.ndarray:
        self._index[t] = self._current
        return observations

    def moved(self, t: int, step: Step) -> None:
        stacks, fresh = channels_first(step.observations), self._new
        n, used = len(stacks), self._used
        frames = stacks[:, -fresh:]
        self._planes[used : used + n * fresh] = frames.reshape(n * fresh, *frames.shape[2:])
        numbers = np.arange(used, used + n * fresh).reshape(n, fresh)
        following = np.concatenate([self._current[:, fresh:], numbers], axis=1)
        self._used += n * fresh
        finals = channels_first(step.final_observations)
        for final, i in zip(finals, step.ended, strict=True):
            self._finals.append(np.append(self._current[i, fresh:], self._add(final[-fresh:])))
            following[i] = self._add(stacks[i])
        self._current = following

    def so_far(self, t: int) -> dict[str, np.ndarray]:
        self._planes[self._used :] = 0
        return {"frames": self.result()[0], "frame_numbers": self._index[: t + 1]}

    def _add(self, frames: np.ndarray) -> np.ndarray:
        """Store further frames (k, H, W) behind the regular ones; returns their numbers."""
        self._more.append(frames.copy())
        first = len(self._planes) + self._more_used
        self._more_used += len(frames)
        return np.arange(first, first + len(frames))

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Planes, and the rows of them that make up the observations (T, N, S), what is shown now
        (N, S), and what ended episodes last saw (E, S)."""
        planes = np.concatenate([self._planes, *self._more]) if self._more else self._planes
        finals = np.array(self._finals, dtype=np.int64).reshape(-1, self._current.shape[1])
        return planes, self._index, self._current, finals


def join(
    recorders: Sequence[Recorder], order: np.ndarray
) -> tuple[Observations, Observations, Observations]:
    """What several groups saw, side by side: observations, last and final ones.

    order: which of all final observations, recorder by recorder, is first, second, ...
    """
    images = [r for r in recorders if isinstance(r, FrameRecorder)]
    if images:
        return _join_frames(images, order)
    vectors = [r for r in recorders if isinstance(r, VectorRecorder)]
    everything, last = vectors[0].everything, np.concatenate([r.last for r in vectors])
    finals = [final for r in vectors for final in r.finals]
    final = np.array([finals[k] for k in order], dtype=np.float32).reshape(-1, *last.shape[1:])
    return everything, last, final


def _join_frames(
    recorders: Sequence[FrameRecorder], order: np.ndarray
) -> tuple[FrameStacks, FrameStacks, FrameStacks]:
    parts = [recorder.result() for recorder in recorders]
    offsets = np.cumsum([0, *(len(planes) for planes, *_ in parts)])
    planes = parts[0][0] if len(parts) == 1 else np.concatenate([part[0] for part in parts])
    shifted = [
        [rows + offset for rows in part[1:]] for part, offset in zip(parts, offsets, strict=False)
    ]
    index = np.concatenate([part[0] for part in shifted], axis=1)
    return (
        FrameStacks(planes, index.reshape(-1, index.shape[-1])),
        FrameStacks(planes, np.concatenate([part[1] for part in shifted])),
        FrameStacks(planes, np.concatenate([part[2] for part in shifted])[order]),
    )
