"""Rollouts of Gaussian perceptrons in MuJoCo's tasks, in compiled loops on several threads.

Threads take blocks of simulations one after the other from a common list, and nobody waits for
anybody before it is empty. A block touches nothing but its own rows, and noise is drawn beforehand
for all: the result does not depend on the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from trpo_cli.models.heads import GaussianHead
from trpo_cli.models.mlp import MLP
from trpo_cli.models.normalizer import Normalizer
from trpo_cli.models.packed import Layout, net_of
from trpo_cli.models.policy import Policy
from trpo_cli.samplers.rollouts import Rollouts

if TYPE_CHECKING:
    from trpo_cli.simulators.base import Simulator, Snapshot
    from trpo_cli.simulators.mujoco.rollouts import Actor, Record, Work
    from trpo_cli.simulators.mujoco.stepping import Simulations

T = TypeVar("T")

SMALL_NETWORK = 16_384
"""Parameters up to which a thread steps one simulation at a time: they stay in its first cache."""
SLICE = 32
"""Steps of a block before another one has its turn: at the end no thread waits for longer."""
BLOCK = 8
"""Simulations that share a pass over a larger network's weights."""


def can_be_compiled(policy: Any, simulator: Simulator) -> bool:
    """Whether the compiled loops can run this policy in these environments."""
    return (
        type(policy) is Policy
        and simulator.backend == "mujoco"
        and type(policy.network) is MLP
        and isinstance(policy.head, GaussianHead)
        and isinstance(policy.normalizer, Normalizer)
    )


def make_actor(policy: Policy, sampled: bool = True, parameters: np.ndarray | None = None) -> Actor:
    """A policy as it is now, for compiled loops. sampled: whether its actions have noise.
    parameters: of the network, (P,); None: its own."""
    from trpo_cli.simulators.mujoco.rollouts import Actor

    network, head, normalizer = policy.network, policy.head, policy.normalizer
    assert isinstance(network, MLP) and isinstance(head, GaussianHead)
    assert isinstance(normalizer, Normalizer)
    size = network.num_parameters
    own = policy.parameters[:size] if parameters is None else parameters
    layout = Layout(network, own)
    shift, scale = normalizer.affine()
    factor, offset, low, high = head.affine()
    std = np.ones(head.size, dtype=np.float32)
    if head.first_log_std is None:
        std = np.exp(policy.parameters[size:])
    return Actor(
        packed=layout.pack(own),
        net=layout.net,
        normalized=normalizer.enabled,
        shift=shift,
        scale=scale,
        bound=np.float32(normalizer.bound),
        sampled=sampled,
        std=std,
        per_state=head.first_log_std is not None,
        first_log_std=np.float32(head.first_log_std or 0.0),
        raw=head.raw,
        squashed=head.squashed,
        factor=factor,
        offset=offset,
        low=low,
        high=high,
    )


class Crew:
    """Threads that step simulations of one model, with a block's places and scratch memory each.

    simulator: any of the kind.
    """

    def __init__(self, simulator: Any, policy: Policy, threads: int) -> None:
        from trpo_cli.kernels.mlp import work_size
        from trpo_cli.kernels.vector import aligned
        from trpo_cli.simulators.mujoco.physics import Places
        from trpo_cli.simulators.mujoco.rollouts import Work

        network, head = policy.network, policy.head
        assert isinstance(network, MLP) and isinstance(head, GaussianHead)
        self.block = 1 if network.num_parameters <= SMALL_NETWORK else BLOCK
        self._places = [Places(simulator.model, self.block) for _ in range(threads)]
        kind = np.float32 if head.raw else np.float64
        self._works = [
            Work(
                aligned(self.block * network.sizes[0]),
                aligned(work_size(net_of(network), self.block)),
                np.zeros(head.size, dtype=kind),
            )
            for _ in range(threads)
        ]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._closed = False

    def blocks(self, count: int) -> list[np.ndarray]:
        """0, ..., count - 1 in parts that a thread steps side by side."""
        return [
            np.arange(start, min(start + self.block, count))
            for start in range(0, count, self.block)
        ]

    def share(self, tasks: Sequence[T], do: Callable[[T, np.ndarray, Work], T | None]) -> None:
        """do(task, addresses of the thread's places, its scratch memory) for all tasks; what it
        returns is a task for later, after all that wait."""
        waiting = deque(tasks)

        def run(places: Any, work: Work) -> None:
            while not self._closed:  # by a main thread that was interrupted meanwhile
                try:
                    task = waiting.popleft()
                except IndexError:
                    return
                rest = do(task, places.addresses, work)
                if rest is not None:
                    waiting.append(rest)

        if self._pool is None:
            run(self._places[0], self._works[0])
        else:
            list(self._pool.map(run, self._places, self._works))

    def shutdown(self) -> None:
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown()


Ended = tuple[int, int, float, int, np.ndarray]
"""Step, environment, return, length and last observation of an episode."""
Task = tuple[Any, int, np.ndarray, int]
"""A simulator, the column of its first environment, a block of its rows, the step it is at."""
Moments = tuple[np.ndarray, "Simulations"]
"""Which moments of T steps of N environments to keep, and where: see `Record`."""


def make_record(
    simulator: Any,
    steps: int,
    returns: np.ndarray,
    lengths: np.ndarray,
    moments: Moments | None = None,
) -> Record:
    """Room for what T steps of N environments leave. returns, lengths: (N,), of the episodes in
    progress; they are brought up to date."""
    from trpo_cli.simulators.mujoco.rollouts import Record

    shape, features = (steps, len(returns)), simulator.observation_space.shape
    keep, kept = moments or (np.full(shape, -1), simulator.make_rows(0))
    return Record(
        observations=np.empty((*shape, *features), dtype=np.float32),
        actions=np.empty((*shape, simulator.world.constants.nu), dtype=np.float32),
        rewards=np.empty(shape, dtype=np.float32),
        terminated=np.empty(shape, dtype=bool),
        truncated=np.empty(shape, dtype=bool),
        returns=returns,
        lengths=lengths,
        failed=np.zeros(len(returns), dtype=np.int64),
        keep=keep,
        kept=kept,
    )


def play_steps(
    crew: Crew,
    simulators: Sequence[Any],
    policy: Policy,
    noise: np.ndarray,
    returns: np.ndarray,
    lengths: np.ndarray,
    moments: Moments | None = None,
) -> tuple[Record, list[Ended]]:
    """T steps of the N environments of several simulators of one kind, noise (T, N, A); new
    episodes follow those that end, which are returned in the order of step and environment."""
    from trpo_cli.simulators.mujoco.rollouts import play

    steps, ends = len(noise), []
    record = make_record(simulators[0], steps, returns, lengths, moments)
    actor = make_actor(policy)

    def do(task: Task, places: np.ndarray, work: Work) -> Task | None:
        simulator, first, rows, t = task
        end = min(t + SLICE, steps)
        while t < end:
            t = play(
                simulator.world, places, simulator.simulations, rows, first, actor, noise, record,
                t, end, work,
            )  # fmt: skip
            for i in rows.tolist():
                n = first + i
                if record.terminated[t - 1, n] or record.truncated[t - 1, n]:
                    last = simulator.simulations.observations[i].astype(np.float32)
                    ends.append((t - 1, n, float(returns[n]), int(lengths[n]), last))
                    returns[n], lengths[n] = 0.0, 0
                    simulator.begin(i, places[0])
        return (simulator, first, rows, t) if t < steps else None

    tasks: list[Task] = []
    first = 0
    for simulator in simulators:
        tasks += [(simulator, first, rows, 0) for rows in crew.blocks(simulator.num_envs)]
        first += simulator.num_envs
    crew.share(tasks, do)
    return record, sorted(ends, key=lambda end: end[:2])


def play_out(
    simulator: Any,
    simulations: Simulations,
    rows: np.ndarray,
    first: int,
    actor: Actor,
    noise: np.ndarray,
    record: Record,
    end: int,
    places: np.ndarray,
    work: Work,
) -> np.ndarray:
    """At most `end` steps of the episodes in `rows`, each to its own end; returns the rows whose
    episodes go on. Nothing begins anew."""
    from trpo_cli.simulators.mujoco.rollouts import play

    t = 0
    while t < end and len(rows):
        t = play(
            simulator.world, places, simulations, rows, first, actor, noise, record, t, end, work
        )
        columns = first + rows
        rows = rows[~(record.terminated[t - 1, columns] | record.truncated[t - 1, columns])]
    return rows


def play_branches(
    crew: Crew,
    simulator: Any,
    policy: Policy,
    moments: Snapshot,
    actions: np.ndarray,
    noise: np.ndarray,
    discount: float,
    value: Callable[[np.ndarray], np.ndarray] | None,
    clip_rewards: bool,
) -> Rollouts:
    """What `samplers.rollouts.roll_out` gives. simulator: any of the kind; it counts the failures
    and is not touched otherwise."""
    from trpo_cli.simulators.mujoco.rollouts import Branching, branch
    from trpo_cli.simulators.mujoco.stepping import Simulations

    count, actor = len(actions), make_actor(policy)
    simulations = Simulations(**moments.arrays)
    branching = Branching(
        np.ascontiguousarray(actions, dtype=np.float32),
        np.ascontiguousarray(noise),
        discount,
        clip_rewards,
        returns=np.zeros(count),
        lengths=np.zeros(count, dtype=np.int64),
        terminated=np.zeros(count, dtype=bool),
        truncated=np.zeros(count, dtype=bool),
        failed=np.zeros(count, dtype=bool),
    )

    def do(rows: np.ndarray, places: np.ndarray, work: Work) -> None:
        branch(simulator.world, places, simulations, rows, actor, branching, work)

    crew.share(crew.blocks(count), do)
    if value is not None:  # a time limit is no end of the task
        cut = np.flatnonzero(~branching.terminated)
        weights = np.power(discount, branching.lengths[cut])
        last = simulations.observations[cut].astype(np.float32)
        branching.returns[cut] += weights * value(last)
    simulator.failed_simulations += int(branching.failed.sum())
    ended = branching.terminated | branching.truncated
    return Rollouts(branching.returns, int(branching.lengths.sum()), ended)
