"""A process that steps some Atari games: ``python -m trpo_cli.simulators.atari.worker``.

Started by `atari_process`, never by hand. Arguments: the file descriptors to read commands from,
to write answers to, and of the shared arrays. A step is one byte in each direction; everything
else is a pickled message with its length in front. It ends when the commands end, which is also
what the death of the simulator's process looks like.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

from trpo_cli.simulators.atari.shared import GameSettings, map_arrays

if TYPE_CHECKING:
    from trpo_cli.simulators.atari.game import AtariGame

STEP, MESSAGE, DONE, FAILED = b"s", b"m", b"d", b"f"
_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
SIGNALS = [getattr(signal, name) for name in _IGNORED if hasattr(signal, name)]


def read_exactly(fd: int, count: int) -> bytes:
    """Raises `EOFError` when the other side is gone."""
    parts = []
    while count:
        part = os.read(fd, count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def send(fd: int, kind: bytes, content: Any) -> None:
    body = pickle.dumps(content)
    write_all(fd, kind + len(body).to_bytes(8, "little") + body)


def receive(fd: int) -> Any:
    """The content of a message, after its kind has been read."""
    return pickle.loads(read_exactly(fd, int.from_bytes(read_exactly(fd, 8), "little")))


class _Worker:
    """Environments `start` to `stop` of the simulator."""

    def __init__(
        self, arrays_fd: int, settings: GameSettings, num_envs: int, start: int, stop: int
    ) -> None:
        # ale_py imports Gymnasium, which takes long, unless there is none.
        sys.modules["gymnasium"] = None  # type: ignore[assignment]
        import ale_py
        import cv2

        from trpo_cli.simulators.atari.game import AtariGame

        cv2.setNumThreads(1)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._arrays = map_arrays(arrays_fd, num_envs, settings)
        self.current = start  # for the error text
        self._games: dict[int, AtariGame] = {}
        for i in range(start, stop):
            self.current = i
            self._games[i] = AtariGame(settings, self._arrays.observations[i])

    def step(self) -> None:
        arrays = self._arrays
        for i, game in self._games.items():
            if not arrays.moving[i]:
                continue
            self.current = i
            reward, terminated, truncated, lost = game.step(int(arrays.actions[i]))
            arrays.rewards[i] = reward
            arrays.terminated[i], arrays.truncated[i] = terminated, truncated
            arrays.lives_lost[i] = lost
            if terminated or truncated:
                arrays.final_observations[i] = arrays.observations[i]
                game.reset()

    def reset(self, seeds: dict[int, int | None]) -> None:
        for i, seed in seeds.items():
            self.current = i
            self._games[i].reset(seed)

    def reseed(self, seeds: dict[int, int]) -> None:
        for i, seed in seeds.items():
            self.current = i
            self._games[i].reseed(seed)

    def get_state(self, ids: list[int]) -> list[dict[str, Any]]:
        return [self._games[i].get_state() for i in ids]

    def set_state(self, states: dict[int, dict[str, Any]]) -> None:
        for i, state in states.items():
            self.current = i
            self._games[i].set_state(state)


def _serve(commands: int, answers: int, arrays_fd: int) -> None:
    worker: _Worker | None = None
    while True:
        try:
            if read_exactly(commands, 1) == STEP:
                assert worker is not None
                worker.step()
                write_all(answers, DONE)
                continue
            name, arguments = receive(commands)
            if name == "start":
                worker = _Worker(arrays_fd, *arguments)
                result = None
            else:
                result = getattr(worker, name)(*arguments)
            send(answers, MESSAGE, result)
        except (EOFError, BrokenPipeError):
            return
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            send(answers, FAILED, (worker and worker.current, words))


def main() -> None:
    # They are blocked until here (see `atari_process`): the run's process decides when to end.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _serve(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
