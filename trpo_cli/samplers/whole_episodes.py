"""Episodes fixed beforehand, each from its own seed to its own end, under one policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.models.acting import Acting
from trpo_cli.samplers.compiled import Crew, can_be_compiled, make_actor, make_record, play_out
from trpo_cli.simulators.base import Simulator, shows_images

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.simulators.mujoco.rollouts import Work

Played = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of E episodes: undiscounted returns, lengths in steps, and whether they were cut, (E,) each."""
Each = Callable[[int, int], None]
"""Told how many episodes have ended and how many steps were made since the last call. What it
raises ends everything."""
STRETCH = 256
"""Steps of one episode whose noise is drawn at once, and between two looks at `each`."""


class Watched:
    """The actions of the first `count` episodes, as the environment took them: with the seed they
    are the episode, and it can be played again where it is drawn."""

    def __init__(self, count: int) -> None:
        self._parts: list[list[np.ndarray]] = [[] for _ in range(count)]

    def __contains__(self, episode: int) -> bool:
        return episode < len(self._parts)

    def took(self, episode: int, actions: np.ndarray) -> None:
        """actions: (T, *act), what comes next in one of these episodes."""
        self._parts[episode].append(actions.copy())

    def episodes(self) -> list[np.ndarray]:
        """(T, *act) for each of them."""
        return [np.concatenate(parts) for parts in self._parts]


def run_episodes(
    policy: Policy,
    simulator: Simulator,
    seeds: Sequence[int],
    generators: Sequence[np.random.Generator] | None,
    limit: int | None,
    each: Each,
    watched: Watched | None = None,
) -> Played:
    """One episode for each seed. Which one an environment runs when changes none of them.

    simulator: environments whose episodes in progress are given up, at most as many as seeds.
    generators: of the episodes' noise; None: the most likely actions. limit: where an episode is
    cut, or None. watched: gets the actions of its episodes; None: nobody does.
    """
    run = _play if can_be_compiled(policy, simulator) else _step
    return run(policy, simulator, seeds, generators, limit, each, watched or Watched(0))


def _step(
    policy: Policy,
    simulator: Simulator,
    seeds: Sequence[int],
    generators: Sequence[np.random.Generator] | None,
    limit: int | None,
    each: Each,
    watched: Watched,
) -> Played:
    """All environments side by side; one that has finished an episode takes the next."""
    n, count = simulator.num_envs, len(seeds)
    images = shows_images(simulator.observation_space)
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    cut = np.zeros(count, dtype=bool)
    current, waiting = list(range(n)), list(range(count - 1, n - 1, -1))
    # Of every environment, the noise that its episode has not used yet. One that is left without
    # an episode is stepped on with any.
    noise: list[np.ndarray] = [np.zeros(0)] * n
    busy = np.ones(n, dtype=bool)
    acting = Acting.afresh(policy, n)
    observations = simulator.reset(seed=list(seeds[:n]))
    while busy.any():
        each(0, 0)
        drawn = None
        if generators is not None:
            for i in range(n):
                if not len(noise[i]):
                    noise[i] = policy.noise(generators[current[i]], (STRETCH,))
            drawn = np.stack([left[0] for left in noise])
            noise = [left[1:] for left in noise]
        # As in training, the policy acts on float32 observations, or on images.
        seen = observations if images else np.asarray(observations, dtype=np.float32)
        actions = policy.to_env(acting.act(seen, drawn))
        for i in np.flatnonzero(busy).tolist():
            if current[i] in watched:
                watched.took(current[i], actions[i : i + 1])
        step = simulator.step(actions)
        observations = step.observations
        numbers = np.array(current)[busy]
        returns[numbers] += step.rewards[busy]
        lengths[numbers] += 1
        over = step.terminated | step.truncated
        late = np.zeros(n, dtype=bool)
        if limit is not None:
            late = busy & ~over & (lengths[current] >= limit)
            cut[np.array(current)[late]] = True
        each(int((busy & (over | late)).sum()), int(busy.sum()))
        begun = []
        for i in np.flatnonzero(busy & (over | late)).tolist():
            busy[i] = bool(waiting)
            if waiting:
                current[i], noise[i] = waiting.pop(), np.zeros(0)
                begun.append(i)
        acting.forget(begun)
        if begun:
            observations = simulator.reset(ids=begun, seed=[seeds[current[i]] for i in begun])
    return returns, lengths, cut


def _play(
    policy: Policy,
    simulator: Any,
    seeds: Sequence[int],
    generators: Sequence[np.random.Generator] | None,
    limit: int | None,
    each: Each,
    watched: Watched,
) -> Played:
    """In compiled loops, one block of episodes after the other."""
    from trpo_cli.simulators.mujoco.stepping import restart

    crew, actor = Crew(simulator, policy, simulator.threads), make_actor(policy, bool(generators))
    count, limit = len(seeds), limit or simulator.world.limit
    simulations = simulator.make_rows(count)
    returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
    cut, failed = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64)

    def do(block: np.ndarray, places: np.ndarray, work: Work) -> None:
        own, first, done = slice(block[0], block[-1] + 1), -int(block[0]), 0
        record = make_record(simulator, STRETCH, returns[own], lengths[own])
        noise = np.zeros((STRETCH, len(block), record.actions.shape[2]), dtype=np.float32)
        for k in block.tolist():
            restart(simulator.world, places[0], simulations, k, simulator.start(seeds[k]))
        rows = block
        while len(rows) and done < limit:
            if generators is not None:
                for k in rows.tolist():
                    noise[:, first + k] = policy.noise(generators[k], (STRETCH,))
            before, going = record.lengths.copy(), rows
            steps = min(STRETCH, limit - done)
            rows = play_out(
                simulator, simulations, rows, first, actor, noise, record, steps, places, work
            )
            done += steps
            made = record.lengths - before
            for k in going.tolist():
                if k in watched:
                    watched.took(k, policy.to_env(record.actions[: made[first + k], first + k]))
            each(len(going) - len(rows), int(made.sum()))
        cut[rows] = True
        failed[own] = record.failed

    try:
        crew.share(crew.blocks(count), do)
    finally:
        crew.shutdown()
    simulator.failed_simulations += int(failed.sum())
    return returns, lengths, cut
