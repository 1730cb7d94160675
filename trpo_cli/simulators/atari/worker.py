"""A process that steps some Atari games: ``python -m trpo_cli.simulators.atari.worker``.

Started by `WorkerProcess`, never by hand; `pipes` says how they talk.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from trpo_cli.simulators.atari.shared import GameSettings, map_arrays
from trpo_cli.simulators.workers.pipes import serve

if TYPE_CHECKING:
    from trpo_cli.simulators.atari.game import AtariGame


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

    def get_state(self, ids: dict[int, None]) -> dict[int, dict[str, Any]]:
        return {i: self._games[i].get_state() for i in ids}

    def set_state(self, states: dict[int, dict[str, Any]]) -> None:
        for i, state in states.items():
            self.current = i
            self._games[i].set_state(state)


if __name__ == "__main__":
    serve(_Worker)
