"""Whether a file acts as the policy that it was made from, on observations of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trpo_cli.data.sequences import Sequences
from trpo_cli.export.formats import Acting as Written
from trpo_cli.export.module import STATE
from trpo_cli.models.acting import Acting
from trpo_cli.models.heads import BernoulliHead, GaussianHead
from trpo_cli.models.policy import Policy
from trpo_cli.simulators.base import Simulator, shows_images

OBSERVATIONS = 1024
TOLERANCE = 1e-5
CHUNK = 128
"""Observations that go through a file together."""


def gather(
    policy: Policy, simulator: Simulator, seeds: Sequence[int], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Observations (n, *obs), n at least OBSERVATIONS, as the policy meets them with sampled
    actions, and what it remembers before each, (n, S). seeds: one for each environment."""
    dtype = np.uint8 if shows_images(simulator.observation_space) else np.float32
    seen = [np.array(simulator.reset(seed=seeds), dtype)]
    acting = Acting.afresh(policy, simulator.num_envs)
    states = [acting.states.copy()]
    while len(seen) * simulator.num_envs < OBSERVATIONS:
        noise = policy.noise(generator, (simulator.num_envs,))
        step = simulator.step(policy.to_env(acting.act(seen[-1], noise)))
        acting.forget(step.ended)
        seen.append(np.array(step.observations, dtype))
        states.append(acting.states.copy())
    return np.concatenate(seen), np.concatenate(states)


def outputs_of(
    policy: Policy,
    observations: np.ndarray,
    start: int | np.ndarray,
    states: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """What `module.ActingModule` should give, by the policy's own arithmetic. start: what the
    environment's own choices count from. states: what is remembered before, (n, S)."""
    inputs: Any = policy.normalize(observations)
    if states is None or not states.shape[1]:
        action, also = policy.draw(inputs, None), {}
    else:
        action, after = policy.act_after(states, observations, None)
        also = {STATE: after}
        rows = np.arange(len(inputs))  # each begins a sequence of one step
        inputs = Sequences(inputs[None], states, np.zeros((1, len(rows)), dtype=bool), rows)
    action = policy.to_env(action)
    parts: Any = policy.distribution(policy.to_device(inputs))
    if not isinstance(policy.head, GaussianHead):
        return {"action": action + start, "logits": np.asarray(parts.logits), **also}
    factor, offset, _, _ = policy.head.affine()
    plain = policy.head.squashed  # of those the Gaussian before tanh is given
    factor, offset = np.where(plain, 1.0, factor), np.where(plain, 0.0, offset)
    mean = np.asarray(parts.mean) * factor + offset
    std = np.broadcast_to(np.exp(np.asarray(parts.log_std)) * factor, mean.shape)
    mean, std = mean.reshape(action.shape), std.reshape(action.shape)
    return {"action": action, "mean": mean, "std": std, **also}


def differences(
    policy: Policy,
    simulator: Simulator,
    acting: Written,
    observations: np.ndarray,
    states: np.ndarray | None = None,
) -> dict[str, float]:
    """The largest difference of each output, of numbers beyond 1 relative to them: over all
    observations in chunks, and for the first one by itself.

    states: what is remembered before each, (n, S); None of a policy that does not. Of another
    choice than the policy's, how much more it likes its own, in logits.
    """
    cuts = range(0, len(observations), CHUNK)
    parts = [slice(0, 1), *(slice(cut, cut + CHUNK) for cut in cuts)]
    start, largest = simulator.action_start, dict[str, float]()
    for part in parts:
        given = [observations[part]]
        if states is not None and states.shape[1]:
            given.append(states[part])
        ours, theirs = outputs_of(policy, given[0], start, *given[1:]), acting(*given)
        for name, value in ours.items():
            found = relative(value, theirs[name])
            if found and name == "action" and "logits" in ours:
                own, other = value - start, theirs[name] - start
                found = regret(policy.head, ours["logits"], own, other)
            largest[name] = max(largest.get(name, 0.0), found)
    return largest


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max |theirs - ours| / max(1, |ours|); infinite for another shape, and where either is not
    finite."""
    if ours.shape != theirs.shape:
        return np.inf
    found = np.abs(theirs.astype(np.float64) - ours) / np.maximum(1.0, np.abs(ours))
    return float(found.max()) if np.isfinite(found).all() else np.inf


def regret(head: Any, logits: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    """How much larger a policy's logits (B, D) are for its own choices than for others; infinite
    for such as there are not."""
    logits, rows = logits.astype(np.float64), np.arange(len(own))
    if own.shape != other.shape:
        return np.inf
    if isinstance(head, BernoulliHead):
        return float(np.max(np.abs(logits) * (own != other)))
    own, other = (x.reshape(len(rows), -1).T for x in (own, other))
    ends = np.cumsum(head.sizes)
    worst = 0.0
    for a, b, size, end in zip(own, other, head.sizes, ends, strict=True):
        if np.any((b < 0) | (b >= size)):
            return np.inf
        part = logits[:, end - size : end]
        worst = max(worst, float(np.max(part[rows, a] - part[rows, b])))
    return worst
