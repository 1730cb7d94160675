"""One Atari game on the emulator: frames, preprocessing, episodes, exact snapshots.

The observations are those of Gymnasium's ``AtariPreprocessing`` in ``FrameStackObservation`` with
``padding_type="reset"``, to the bit: grey screens, the maximum of the last two frames of a step,
resized by area, the last S of them. So are the seeds, the no-ops and the repeated actions.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import ale_py
import cv2
import numpy as np

from trpo_cli.simulators.atari.shared import GameSettings
from trpo_cli.simulators.atari.state import (
    cartridge,
    generator_of,
    repeats,
    unfinished,
    untouched,
    with_generator,
)

_NOOP = 0
_RESET, _RESEED = 255, 254  # among actions to replay; a seed of four bytes follows the latter
# Games that compute for longer than a frame at times, so that the image stays as it is.
_PAUSING = {"tic_tac_toe_3d", "video_checkers"}


class AtariGame:
    """One environment.

    stack: (S, H, W) uint8, where the observation is written, newest frame last.

    `fire_reset` presses FIRE for one step at the start of an episode, in games that know the
    button, and again within the step in which a life was lost: both count as emulated frames and
    their rewards belong to the step. The observation is then the one after FIRE.

    window: show the game in one, for people to watch.
    """

    def __init__(self, settings: GameSettings, stack: np.ndarray, window: bool = False) -> None:
        self._settings, self._stack = settings, stack
        self._flat, self._newest = stack.reshape(-1), stack[-1]
        ale = self._ale = ale_py.ALEInterface()
        ale.setFloat("repeat_action_probability", settings.sticky)
        ale.setInt("max_num_frames_per_episode", settings.max_frames)
        ale.setInt("random_seed", 0)  # until the first reset
        ale.setBool("display_screen", window)
        self._load()
        minimal = ale.getMinimalActionSet()
        chosen = ale.getLegalActionSet() if settings.full_actions else minimal
        self._actions = [action.value for action in chosen]
        fire = ale_py.Action.FIRE
        self._fire = fire.value if settings.fire_reset and fire in minimal else None
        self._loaded = self._serialized()
        # Loading ends with a reset, in which a few games draw (Berzerk, DoubleDunk).
        self._draws = not untouched(self._loaded, 0)
        self._pooled = np.zeros(ale.getScreenDims(), dtype=np.uint8)
        self._before = np.zeros_like(self._pooled)
        self._random: np.random.Generator | None = None
        self._lives = self._elapsed = 0
        self._carried = 0.0  # the reward of FIRE at the start of an episode
        # The state before the episode, and the actions wanted of each frame since.
        self._base, self._since = b"", bytearray()
        # An action that may be repeated, the state then, and how many actions came before it.
        self._remembered = (_NOOP, b"", 0)
        self._clear: ale_py.ALEState | None = None

    # Episodes

    def reset(self, seed: int | None = None) -> None:
        """Start an episode, the generators seeded as ``env.reset(seed=seed)`` would."""
        settings, ale = self._settings, self._ale
        self._begin(seed)
        assert self._random is not None
        noops = self._random.integers(1, settings.noop_max + 1) if settings.noop_max else 0
        for _ in range(noops):
            self._frame(_NOOP)
            if ale.game_over():
                self._begin(seed)
        self._look()
        self._elapsed, self._carried = 0, 0.0
        if self._fire is not None:
            self._carried = self._press(self._fire)
            if ale.game_over():
                self._begin(None)
                self._look()
                self._carried = 0.0
        self._lives = ale.lives()
        self._show(first=True)

    def _begin(self, seed: int | None) -> None:
        if seed is not None or self._random is None:
            words = np.random.SeedSequence(seed).generate_state(2)
            sequence = np.random.SeedSequence(int(words[0]))
            self._random = np.random.Generator(np.random.PCG64(sequence))
            self._seed(words[1])
        self._base, self._since = self._serialized(), bytearray([_RESET])
        self._ale.reset_game()
        self._remembered = (_NOOP, self._serialized(), len(self._since))

    def _load(self) -> None:
        self._ale.loadROM(self._settings.path)
        if self._settings.mode is not None:
            self._ale.setMode(self._settings.mode)
        if self._settings.difficulty is not None:
            self._ale.setDifficulty(self._settings.difficulty)

    def _seed(self, seed: np.uint32) -> None:
        """Gymnasium's environment loads the game anew with every seed, which takes 0.1 s."""
        if self._draws:
            self._ale.setInt("random_seed", int(seed.astype(np.int32)))
            self._load()
        else:
            seeded = with_generator(self._loaded, np.random.RandomState(int(seed)))
            self._ale.restoreState(ale_py.ALEState(seeded))

    def step(self, action: int) -> tuple[float, bool, bool, bool]:
        """One step with an index into the action set: reward, terminated, truncated, life lost.

        Where the episode has ended the observation is its last one.
        """
        ale, settings = self._ale, self._settings
        reward, self._carried = self._carried, 0.0
        reward += self._press(self._actions[action])
        lost = False
        # FIRE may cost a life too; there are no more rounds than lives.
        while (lives := ale.lives()) < self._lives:
            lost, self._lives = True, lives
            if self._fire is None or ale.game_over():
                break
            reward += self._press(self._fire)
        self._lives = lives
        self._show(first=False)
        self._elapsed += 1
        terminated = ale.game_over(with_truncation=False)
        late = settings.max_steps is not None and self._elapsed >= settings.max_steps
        truncated = not terminated and (late or ale.game_truncated())
        lost = lost and settings.life_loss_terminal and not (terminated or truncated)
        return reward, terminated, truncated, lost

    # Frames

    def _frame(self, action: int) -> int:
        self._since.append(action)
        return self._ale.act(action)

    def _press(self, action: int) -> float:
        """Hold an action for one step's frames; returns the reward.

        As in Gymnasium's wrapper an episode that ends before the step's last frames shows what
        had been seen before.
        """
        ale, (low, high) = self._ale, self._settings.skip
        frames, reward = low, 0.0
        if high > low:
            assert self._random is not None
            frames = int(self._random.integers(low, high + 1))
        pool = self._settings.max_pool
        for k in range(frames):
            reward += self._frame(action)
            if ale.game_over():
                if high > low:
                    # As Gymnasium's environment does: it costs draws, the game stands still.
                    for _ in range(k + 1, frames):
                        self._frame(action)
                break
            if k == frames - 1:
                ale.getScreenGrayscale(self._pooled)
            elif k == frames - 2 and pool:
                ale.getScreenGrayscale(self._before)
        if pool and frames > 1:
            np.maximum(self._pooled, self._before, out=self._pooled)
        return reward

    def _look(self) -> None:
        self._ale.getScreenGrayscale(self._pooled)
        self._before.fill(0)

    def screen(self) -> np.ndarray:
        """(210, 160, 3) uint8, or of the game's own size: the colours of the last frame."""
        return self._ale.getScreenRGB()

    def _show(self, first: bool) -> None:
        """Resize the screen to be seen into the stack: as its newest frame, or as all."""
        newest, size = self._newest, self._newest.size
        if not first:
            self._flat[:-size] = self._flat[size:]
        cv2.resize(self._pooled, newest.shape[::-1], dst=newest, interpolation=cv2.INTER_AREA)
        if first:
            self._stack[:-1] = newest

    # Snapshots

    def _serialized(self) -> bytes:
        return self._ale.cloneState(include_rng=True).serialize()

    def get_state(self) -> dict[str, Any]:
        """Whatever decides the future, as arrays, numbers and a generator's state.

        The emulator's states lack two things. One is the action that the next frame may repeat:
        it follows from the draws so far. The other is the image. Nearly always the next frame
        draws all of it anew, and a state will do. Where a game computes without drawing, the
        snapshot has the state before the episode and all its frames' actions: restoring it takes
        as long as they took.
        """
        if self._random is None:
            raise ValueError("the environment has not been reset")
        state, since, last = self._serialized(), bytearray(), self._last()
        if self._settings.rom in _PAUSING or unfinished(state):
            state, since = self._base, self._since
        return {
            "state": np.frombuffer(state, dtype=np.uint8),
            "replay": np.frombuffer(bytes(since), dtype=np.uint8),
            "screen": self._pooled.copy(),
            "stack": self._stack.copy(),
            "counts": np.array([self._lives, self._elapsed, last], dtype=np.int64),
            "carried": np.float64(self._carried),
            "generator": self._random.bit_generator.state,
        }

    def _last(self) -> int:
        """The action of the last frame, which the next one may repeat."""
        action, state, start = self._remembered
        wanted, sticky = self._since[start:], self._settings.sticky
        if wanted and sticky:
            taken = np.flatnonzero(~repeats(generator_of(state), len(wanted), sticky))
            action = wanted[taken[-1]] if len(taken) else action
        return action

    def reseed(self, seed: int) -> None:
        """Put both generators into states of their own; nothing else changes."""
        if self._random is None:
            raise ValueError("the environment has not been reset")
        words = np.random.SeedSequence(seed).generate_state(2)
        self._random.bit_generator.state = np.random.PCG64(int(words[0])).state
        last = self._last()
        self._draw_from(int(words[1]))
        self._since += bytes([_RESEED]) + int(words[1]).to_bytes(4, "little")
        self._remembered = (last, self._serialized(), len(self._since))

    def _draw_from(self, seed: int) -> None:
        state = with_generator(self._serialized(), np.random.RandomState(seed))
        # At the moment that it is in anyway: what states lack stays as it is.
        self._ale.restoreState(ale_py.ALEState(state))

    def set_state(self, state: dict[str, Any]) -> None:
        self._lives, self._elapsed, last = state["counts"].tolist()
        self._restore(state["state"].tobytes(), state["replay"].tobytes(), last)
        self._pooled[:] = state["screen"]
        self._before.fill(0)
        self._stack[:] = state["stack"]
        self._carried = float(state["carried"])
        if self._random is None:
            self._random = np.random.Generator(np.random.PCG64(0))
        self._random.bit_generator.state = state["generator"]

    def _restore(self, base: bytes, since: bytes, last: int) -> None:
        ale = self._ale
        if cartridge(base) != cartridge(self._loaded):
            raise ValueError("the snapshot is of another game")
        if self._clear is None:
            self._clear = self._make_clear()
        # What states lack is brought about: the action to be repeated has been taken, and no
        # frame is under way, which would go on whatever state the emulator is given.
        ale.restoreState(self._clear)
        ale.act(last)
        while unfinished(self._serialized()):
            ale.act(last)
        ale.restoreState(ale_py.ALEState(base))
        coming = iter(since)
        for action in coming:
            if action == _RESET:
                ale.reset_game()
            elif action == _RESEED:
                self._draw_from(int.from_bytes(islice(coming, 4), "little"))
            else:
                ale.act(action)
        self._base, self._since = base, bytearray(since)
        self._remembered = (last, self._serialized(), len(since))

    def _make_clear(self) -> ale_py.ALEState:
        """A state at the end of a frame from which the next one repeats no action."""
        ale, sticky = self._ale, self._settings.sticky
        ale.restoreState(ale_py.ALEState(self._loaded))
        ale.reset_game()
        while unfinished(self._serialized()):
            ale.act(_NOOP)
        seed = 0
        while repeats(np.random.RandomState(seed), 1, sticky)[0]:
            seed += 1
        return ale_py.ALEState(with_generator(self._serialized(), np.random.RandomState(seed)))
