"""The emulator's serialised states: where things stand in them, and their random generator.

A state is six integers, the machine's own string with its length in front, and two integers. The
machine's begins with the game's checksum and the processor's cycles, and ends with the text of the
generator (Mersenne Twister) that the environment draws from: whether a frame repeats the action of
the one before, and what a few games choose when they are reset.
"""

from __future__ import annotations

import re
import sys

import numpy as np

_HEAD, _TAIL = 24, 8
_MARK = b"System"
_LONGEST_FRAME = 30_000  # processor cycles; 342 lines have 26,000
_GENERATOR = re.compile(rb"[0-9]+(?: [0-9]+){624}\Z")


def cartridge(state: bytes) -> bytes:
    """The checksum of the game that a state is of."""
    return state[_HEAD + 8 : _mark(state)]


def unfinished(state: bytes) -> bool:
    """Whether the game has not come to the end of a frame in the time that it was given."""
    start = _mark(state) + len(_MARK)
    return int.from_bytes(state[start : start + 4], sys.byteorder) > _LONGEST_FRAME


def _mark(state: bytes) -> int:
    found = state.find(_MARK, 0, 200)
    if found < 0:
        raise ValueError("this is no state of a game as this version of ale-py writes them")
    return found


def generator_of(state: bytes) -> np.random.RandomState:
    """The environment's generator, as it stands in a state."""
    words = np.array(_generator_text(state).split(), dtype=np.uint64)
    generator = np.random.RandomState(0)
    key = {"key": words[:624].astype(np.uint32), "pos": int(words[624])}
    generator.set_state({"bit_generator": "MT19937", "state": key})
    return generator


def with_generator(state: bytes, generator: np.random.RandomState) -> bytes:
    """The same state with another generator."""
    key = generator.get_state(legacy=False)["state"]
    text = " ".join(map(str, [*key["key"].tolist(), key["pos"]])).encode()
    machine = state[_HEAD + 4 : -_TAIL]
    machine = machine[: -len(_generator_text(state)) - 4] + _length(text) + text
    return state[:_HEAD] + _length(machine) + machine + state[-_TAIL:]


def untouched(state: bytes, seed: int) -> bool:
    """Whether nothing has been drawn since the environment was seeded."""
    return with_generator(state, np.random.RandomState(seed)) == state


def repeats(generator: np.random.RandomState, frames: int, probability: float) -> np.ndarray:
    """(frames,) bool: which of the coming frames repeat the action of the one before.

    Two draws per frame, the second one for the second player. The emulator holds the probability
    in single precision and compares draw / 2^32 with it.
    """
    draws = generator.randint(0, 2**32, size=2 * frames, dtype=np.uint32)[::2]
    return np.asarray(draws < float(np.float32(probability)) * 2.0**32)


def _generator_text(state: bytes) -> bytes:
    found = _GENERATOR.search(state[-8000 - _TAIL : -_TAIL])
    if found is None:
        raise ValueError("this state has no generator as this version of ale-py writes them")
    return found[0]


def _length(text: bytes) -> bytes:
    return len(text).to_bytes(4, sys.byteorder)
