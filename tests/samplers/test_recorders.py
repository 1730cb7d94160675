"""What the recorders keep is what was shown, whatever the episodes do."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from trpo_cli.config import AtariConfig, EnvConfig
from trpo_cli.data.frames import FrameStacks
from trpo_cli.models.normalizer import IdentityNormalizer
from trpo_cli.models.policies.nature_cnn import NatureCNNPolicyConfig
from trpo_cli.samplers.recorders import FrameRecorder
from trpo_cli.samplers.single_path_sampler import SinglePathSampler
from trpo_cli.simulators.base import Step
from trpo_cli.simulators.make import make_simulator

STEPS, STACK, HEIGHT, WIDTH = 6, 3, 4, 5


class Film:
    """Images that are all different; environment i ends after the steps `ends[i]` (counted from
    0 over the whole life). Its buffers are reused from step to step, as a real simulator's are.

    kind: "stack" shows the newest frames, moving by one each step; "colours" three new planes each
    step, their channels last.
    """

    failed_simulations = 0
    action_space = spaces.Discrete(2)

    def __init__(self, kind: str, ends: list[set[int]], seed: int = 0) -> None:
        self.kind, self.ends, self.num_envs = kind, ends, len(ends)
        self.frame_stack = STACK if kind == "stack" else 1
        shape = (STACK, HEIGHT, WIDTH) if kind == "stack" else (HEIGHT, WIDTH, 3)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self._generator, self._time = np.random.default_rng(seed), 0
        self._shown = np.zeros((self.num_envs, *shape), np.uint8)
        self.shown: list[np.ndarray] = []  # everything, in the order of showing
        self.finals: list[tuple[int, int, np.ndarray]] = []

    def _frame(self, *shape: int) -> np.ndarray:
        return self._generator.integers(0, 256, shape, dtype=np.uint8)

    def reset(self, ids: Any = None, seed: Any = None) -> np.ndarray:
        self._shown[...] = self._frame(*self._shown.shape)
        self.shown.append(self._shown.copy())
        return self._shown

    def step(self, actions: np.ndarray) -> Step:
        ended = np.array([i for i, ends in enumerate(self.ends) if self._time in ends], int)
        for i in range(self.num_envs):
            if self.kind == "stack":
                self._shown[i, :-1] = self._shown[i, 1:].copy()
                self._shown[i, -1] = self._frame(HEIGHT, WIDTH)
            else:
                self._shown[i] = self._frame(HEIGHT, WIDTH, 3)
        final = self._shown[ended].copy()
        for i in ended:
            self.finals.append((self._time, int(i), self._shown[i].copy()))
            self._shown[i] = self._frame(*self._shown.shape[1:])
        self._time += 1
        self.shown.append(self._shown.copy())
        flags = np.isin(np.arange(self.num_envs), ended)
        return Step(self._shown, np.zeros(self.num_envs), flags, ~flags & False, ended, final)

    def close(self) -> None:
        pass


class Viewer:
    """Looks at images and acts at random."""

    normalizer = IdentityNormalizer()
    state_size = 0

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.integers(0, 2, (*shape, 1))

    def act(self, observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        self.seen.append(observations.copy())
        return noise

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        return actions[:, 0]


# The first and the last step of an iteration, neighbours, several of one environment, none.
ENDS = [{0, 5, 6, 11}, {2, 3, 4}, set[int](), {0, 1, 2, 3, 4, 5}, {5, 17}]


def first(x: np.ndarray) -> np.ndarray:
    """Channels first, by the axis that is known to hold them."""
    return x if x.shape[-1] == WIDTH else np.moveaxis(x, -1, -3)


def collect(kind: str, groups: list[list[set[int]]], iterations: int, parallel: bool = False):
    films = [Film(kind, ends, seed) for seed, ends in enumerate(groups)]
    count = sum(map(len, groups))
    simulators: Any = films
    sampler = SinglePathSampler(simulators, STEPS, list(range(count)), 2 if parallel else 1)
    policy: Any = Viewer()
    generator = np.random.default_rng(0)
    parts = [sampler.collect(policy, generator) for _ in range(iterations)]
    sampler.close()
    return films, parts


def stacked(observations: Any) -> np.ndarray:
    assert isinstance(observations, FrameStacks)
    assert observations.planes.dtype == np.uint8
    return np.asarray(observations.stack())


class TestFrameRecorder:
    @pytest.mark.parametrize("parallel", [False, True])
    @pytest.mark.parametrize("groups", [[ENDS], [ENDS[:2], ENDS[2:]]], ids=["one", "two"])
    @pytest.mark.parametrize("kind", ["stack", "colours"])
    def test_everything_is_what_was_shown(self, kind, groups, parallel):
        films, parts = collect(kind, groups, 3, parallel)
        shown = np.concatenate([np.array(film.shown) for film in films], axis=1)
        finals, offset = [], 0
        for film in films:
            finals += [(t, offset + i, image) for t, i, image in film.finals]
            offset += film.num_envs
        finals.sort(key=lambda final: final[:2])
        assert len(finals) == sum(len([t for t in ends if t < 3 * STEPS]) for ends in ENDS)
        for number, part in enumerate(parts):
            begin = number * STEPS
            expected = first(shown[begin : begin + STEPS])
            everything = stacked(part.observations)
            np.testing.assert_array_equal(
                everything.reshape(STEPS, len(ENDS), *everything.shape[1:]), expected
            )
            np.testing.assert_array_equal(
                stacked(part.last_observations), first(shown[begin + STEPS])
            )
            own = [final for final in finals if begin <= final[0] < begin + STEPS]
            assert part.ends.tolist() == [[t - begin, n] for t, n, _ in own]
            found = stacked(part.final_observations)
            assert len(found) == len(own)
            for image, (_, _, image_shown) in zip(found, own, strict=True):
                np.testing.assert_array_equal(image, first(image_shown))

    @pytest.mark.parametrize(("kind", "fresh"), [("stack", 1), ("colours", 3)])
    def test_each_frame_is_stored_once(self, kind, fresh):
        """A whole stack of each environment, then what is new each step; a new episode brings a
        stack of its own, and its predecessor's last frames stand beside it."""
        films, parts = collect(kind, [ENDS], 1)
        ended = len(films[0].finals)
        planes = parts[0].observations.planes
        size = STACK if kind == "stack" else 3
        assert len(planes) == len(ENDS) * (size + STEPS * fresh) + ended * (size + fresh)
        assert parts[0].last_observations.planes is planes
        assert parts[0].final_observations.planes is planes

    def test_no_ends(self):
        _, parts = collect("stack", [[set(), set()]], 2)
        for part in parts:
            assert part.final_observations.shape == (0, STACK, HEIGHT, WIDTH)
            assert part.final_observations.stack().shape == (0, STACK, HEIGHT, WIDTH)

    def test_a_record_outlives_the_next_iteration(self):
        _, parts = collect("stack", [ENDS], 1)
        _, more = collect("stack", [ENDS], 2)
        np.testing.assert_array_equal(stacked(parts[0].observations), stacked(more[0].observations))
        np.testing.assert_array_equal(
            stacked(parts[0].last_observations), stacked(more[0].last_observations)
        )

    @pytest.mark.parametrize("kind", ["stack", "colours"])
    def test_the_record_of_a_failure(self, kind):
        """What was shown up to a step, new episodes included."""
        film = Film(kind, ENDS)
        recorder = FrameRecorder(STEPS, film.reset().copy(), kind == "stack")
        for t in range(4):
            recorder.seen(t, film.shown[-1])
            if t < 3:
                recorder.moved(t, film.step(np.zeros(len(ENDS))))
        left = recorder.so_far(3)
        found = left["frames"][left["frame_numbers"]]
        np.testing.assert_array_equal(found, first(np.array(film.shown)))


class TestChoice:
    def test_a_perceptron_takes_images_as_numbers(self):
        film: Any = Film("stack", ENDS)
        policy: Any = Viewer()
        policy.normalizer = SimpleNamespace()
        part = SinglePathSampler([film], STEPS, list(range(5)), False).collect(
            policy, np.random.default_rng(0)
        )
        assert isinstance(part.observations, np.ndarray)
        assert part.observations.dtype == np.float32
        np.testing.assert_array_equal(part.observations, np.array(film.shown)[:STEPS])


class TestAtari:
    def test_stacks_are_what_the_policy_saw(self, monkeypatch):
        """Two groups of a real game, episodes short enough to end often."""
        env = EnvConfig(
            id="ALE/Breakout-v5",
            max_episode_steps=7,
            atari=AtariConfig(frame_height=40, frame_width=36, noop_max=5),
        )
        simulators = [make_simulator(env, n, 1) for n in (1, 2)]
        sampler = SinglePathSampler(simulators, 10, [1, 2, 3], False)
        space: Any = simulators[0].observation_space
        config = NatureCNNPolicyConfig(hidden_size=8, precision="float32")
        policy = config.build(space, simulators[0].action_space, np.random.default_rng(0))
        seen: list[np.ndarray] = []
        act = policy.act

        def watched(observations, noise):
            seen.append(observations.copy())
            return act(observations, noise)

        monkeypatch.setattr(policy, "act", watched)
        generator = np.random.default_rng(0)
        last = None
        for _ in range(2):
            seen.clear()
            part = sampler.collect(policy, generator)
            observations = stacked(part.observations).reshape(10, 3, 4, 40, 36)
            np.testing.assert_array_equal(observations[:, :1], seen[:10])
            np.testing.assert_array_equal(observations[:, 1:], seen[10:])
            assert len(part.ends) >= 3 and part.truncated.any()
            if last is not None:
                np.testing.assert_array_equal(observations[0], last)
            last = stacked(part.last_observations)
            finals = stacked(part.final_observations)
            for (t, n), final in zip(part.ends, finals, strict=True):
                # Its older frames were seen before; the newest is no next episode's.
                np.testing.assert_array_equal(final[:-1], observations[t, n, 1:])
                after = last[n] if t == 9 else observations[t + 1, n]
                assert (final != after).any()
        sampler.close()
