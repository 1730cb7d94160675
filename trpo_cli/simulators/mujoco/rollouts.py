"""Compiled rollouts: policy and physics in one loop, without the interpreter in between.

A thread steps a block of simulations, each in a place of its own. One is best for small networks,
whose weights stay in the processor's cache; several share a pass over the weights of larger ones.
What a simulation does depends neither on its block nor on the thread.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from trpo_cli.kernels.jit import compiled
from trpo_cli.kernels.memory import borrow, copy
from trpo_cli.kernels.mlp import Net, forward
from trpo_cli.kernels.state_gaussian import log_std_of
from trpo_cli.kernels.vector import padded
from trpo_cli.simulators.mujoco.stepping import Simulations, World, advance, put, take


class Actor(NamedTuple):
    """A Gaussian policy on a perceptron, its normaliser and what becomes of its actions.

    packed, net: the network, see `kernels.mlp`. shift, scale: (d,) float32, with
    bound the normaliser's; normalized: whether it is used. std: (A,) float32, or per_state: it is
    the network's, see `maths.state_gaussian`, with first_log_std; sampled: whether noise is added.
    factor, offset, low, high: (A,) float64, an action a becomes
    clip(factor a + offset, low, high), with tanh(a) for an a that is `squashed`, (A,) bool, unless
    it is `raw`.
    """

    packed: np.ndarray
    net: Net
    normalized: bool
    shift: np.ndarray
    scale: np.ndarray
    bound: np.float32
    sampled: bool
    std: np.ndarray
    per_state: bool
    first_log_std: np.float32
    raw: bool
    squashed: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Work(NamedTuple):
    """Scratch memory of one thread: network inputs, its layers' outputs, one action."""

    inputs: np.ndarray
    layers: np.ndarray
    command: np.ndarray


class Record(NamedTuple):
    """What T steps of N environments leave, see `data.records.Trajectories`.

    returns, lengths: (N,), of the episodes in progress. failed: (N,) int64, failed simulations.
    keep: (T, N) int64, under which number the moment before a step is kept; -1: it is not.
    kept: the moments.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray
    failed: np.ndarray
    keep: np.ndarray
    kept: Simulations


@compiled
def look(actor: Actor, seen: np.ndarray, row: int, inputs: np.ndarray) -> None:
    """The network's inputs for one observation (d,) float32, into a row of `inputs`."""
    start, bound = row * len(seen), actor.bound
    for k in range(len(seen)):
        x = seen[k]
        if actor.normalized:
            x = min((x - actor.shift[k]) * actor.scale[k], bound)
            x = max(x, -bound)
        inputs[start + k] = x


@compiled
def choose(
    actor: Actor, layers: np.ndarray, start: int, noise: np.ndarray, action: np.ndarray
) -> None:
    """The action (A,) in the policy's units; the network's outputs stand in layers at `start`."""
    for k in range(len(action)):
        a = layers[start + k]
        if actor.sampled:
            std = actor.std[k]
            if actor.per_state:
                log_std, _ = log_std_of(layers[start + len(action) + k], actor.first_log_std)
                std = np.float32(math.exp(log_std))
            a += std * noise[k]
        action[k] = a


@compiled
def to_env(actor: Actor, action: np.ndarray, command: np.ndarray) -> None:
    """The same as the environment takes it."""
    for k in range(len(action)):
        if actor.raw:
            command[k] = action[k]
        else:
            a: float = np.float64(action[k])
            if actor.squashed[k]:
                a = math.tanh(a)
            a = a * actor.factor[k] + actor.offset[k]
            command[k] = min(max(a, actor.low[k]), actor.high[k])


@compiled
def play(
    world: World,
    places: np.ndarray,
    simulations: Simulations,
    rows: np.ndarray,
    first: int,
    actor: Actor,
    noise: np.ndarray,
    record: Record,
    t: int,
    end: int,
    work: Work,
) -> int:
    """Steps t, t + 1, ... of the simulations `rows`, up to and with the first one in which an
    episode of theirs ended, at most to `end`; returns which step would come next.

    noise: (T, N, A), where the actor samples. first: the column of simulation 0 among the N of
    record and noise.
    """
    world, places, simulations, rows = borrow((world, places, simulations, rows))
    actor, noise, record, work = borrow((actor, noise, record, work))
    count = len(rows)
    stride = padded(actor.net.sizes[-1])
    for k in range(count):
        put(world, places[k], simulations, rows[k])
    ended = False
    while t < end and not ended:
        for k in range(count):
            i, n = rows[k], first + rows[k]
            seen = record.observations[t, n]
            copy(simulations.observations[i], seen)
            look(actor, seen, k, work.inputs)
            number = record.keep[t, n]
            if number >= 0:
                take(world, places[k], simulations, i)
                copy(simulations.state[i], record.kept.state[number])
                copy(simulations.observations[i], record.kept.observations[number])
                record.kept.progress[number] = simulations.progress[i]
                record.kept.elapsed[number] = simulations.elapsed[i]
        start = forward(actor.packed, actor.net, work.inputs, count, work.layers)
        for k in range(count):
            i, n = rows[k], first + rows[k]
            action = record.actions[t, n]
            drawn = noise[t, n] if actor.sampled else action
            choose(actor, work.layers, start + k * stride, drawn, action)
            to_env(actor, action, work.command)
            reward, terminated, truncated, failed = advance(
                world, places[k], simulations, i, work.command
            )
            record.rewards[t, n] = reward
            record.terminated[t, n] = terminated
            record.truncated[t, n] = truncated
            record.returns[n] += reward
            record.lengths[n] += 1
            record.failed[n] += failed
            ended = ended or terminated or truncated
        t += 1
    for k in range(count):
        take(world, places[k], simulations, rows[k])
    return t


class Branching(NamedTuple):
    """R short rollouts from given moments, of L steps.

    actions: (R, A) float32, the first of each; noise: (L - 1, R, A), of the others. discount:
    gamma. clip_rewards: sum the signs of the rewards. What they leave: returns (R,) float64, the
    discounted sums; lengths (R,) int64, their steps; terminated, truncated, failed (R,) bool, how
    the episode ended, if it did.
    """

    actions: np.ndarray
    noise: np.ndarray
    discount: float
    clip_rewards: bool
    returns: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    failed: np.ndarray


@compiled
def branch(
    world: World,
    places: np.ndarray,
    simulations: Simulations,
    rows: np.ndarray,
    actor: Actor,
    branching: Branching,
    work: Work,
) -> None:
    """The rollouts `rows`, side by side in as many places; each to its end or for L steps.

    simulations: R of them, each at the moment where its rollout begins; their observations are
    afterwards the last ones.
    """
    world, places, simulations, rows = borrow((world, places, simulations, rows))
    actor, branching, work = borrow((actor, branching, work))
    stride = padded(actor.net.sizes[-1])
    seen = np.empty(simulations.observations.shape[1], np.float32)
    action = np.empty(len(actor.std), np.float32)
    alive = np.arange(len(rows))
    count, weight = len(rows), 1.0
    for k in range(count):
        put(world, places[k], simulations, rows[k])
    for step in range(len(branching.noise) + 1):
        start = 0
        if step:
            for a in range(count):
                i = rows[alive[a]]
                copy(simulations.observations[i], seen)
                look(actor, seen, a, work.inputs)
            start = forward(actor.packed, actor.net, work.inputs, count, work.layers)
        still = 0
        for a in range(count):
            k = alive[a]
            i = rows[k]
            if step:
                choose(actor, work.layers, start + a * stride, branching.noise[step - 1, i], action)
            else:
                copy(branching.actions[i], action)
            to_env(actor, action, work.command)
            reward, terminated, truncated, failed = advance(
                world, places[k], simulations, i, work.command
            )
            branching.returns[i] += weight * (np.sign(reward) if branching.clip_rewards else reward)
            branching.lengths[i] += 1
            branching.terminated[i], branching.truncated[i] = terminated, truncated
            branching.failed[i] = failed
            if not (terminated or truncated):
                alive[still] = k
                still += 1
        count = still
        weight *= branching.discount
        if not count:
            return
