"""Epochs of shuffled minibatches on a policy, in compiled code: all of an update in one call.

The formulas are those of `maths.distributions`, `maths.discrete` and `maths.surrogate`, for one
sample at a time.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from trpo_cli.kernels.adam import TAKEN, Step, Vectors, clipped_step
from trpo_cli.kernels.gradients import Room, backward, gather
from trpo_cli.kernels.jit import fused
from trpo_cli.kernels.mlp import Net, forward
from trpo_cli.kernels.state_gaussian import log_std_of
from trpo_cli.kernels.vector import LANES, padded, splat, store

f32 = np.float32
GAUSSIAN, STATE_GAUSSIAN, CATEGORICAL, BERNOULLI = range(4)
UNCLIPPED, CLIPPED, CLIP_ONLY, SPO = range(4)


class Head(NamedTuple):
    """What the outputs (D,) mean. kind: one of the four above; parts: int64, the sizes of
    categoricals; extra: where in the packed parameters the log standard deviations begin;
    first_log_std: float32, of a Gaussian whose deviation depends on the state."""

    kind: int
    parts: Any
    extra: int
    first_log_std: Any


class Samples(NamedTuple):
    """B samples, one-dimensional float32: of each its numbers one after the other.

    actions: D, or the index of every categorical. old_log_prob: log pi_old(a|s). old: of pi_old,
    the mean or the probabilities, D; old_log_std: (D,), of all, or as the mean where they depend
    on the state. old, old_log_std: not read without a KL penalty.
    """

    inputs: Any
    actions: Any
    advantages: Any
    old_log_prob: Any
    old: Any
    old_log_std: Any


class Loss(NamedTuple):
    """term: UNCLIPPED, CLIPPED, CLIP_ONLY or SPO. kl_coef, entropy_coef: weights of the means of
    KL(pi_old || pi) and, to be maximised, of the entropy. target_kl: no step follows a larger
    `sampled_kl` of its minibatch; infinite: none is computed."""

    term: int
    clip_range: float
    kl_coef: float
    entropy_coef: float
    target_kl: float


@fused
def sampled_kl(loss: Loss, log_ratio: Any) -> Any:
    """r - 1 - log r."""
    return f32(math.expm1(log_ratio)) - log_ratio if loss.target_kl < math.inf else f32(0.0)


@fused
def slope(term: int, clip_range: float, log_ratio: Any, advantage: Any) -> Any:
    """d term / d log pi. The conditions are factors: what is no number stays so."""
    ratio = f32(math.exp(log_ratio))
    gain = ratio * advantage
    if term == CLIPPED:
        bounded = min(max(ratio, f32(1.0 - clip_range)), f32(1.0 + clip_range))
        return gain * f32(gain <= bounded * advantage)
    if term == CLIP_ONLY:
        return gain * f32(abs(ratio - f32(1.0)) <= f32(clip_range))
    if term == SPO:
        return gain - ratio * abs(advantage) * (ratio - f32(1.0)) / f32(clip_range)
    return gain


@fused
def gaussian(
    loss: Loss, samples: Samples, order: Any, start: int, rows: int, size: int, parameters: Any,
    extra: int, outputs: Any, at: int, width: int, slopes: Any, gradient: Any,
) -> Any:  # fmt: skip
    """The descent direction in the outputs, into `slopes`, and in the log deviations, into
    `gradient`. size: the action's. Returns the sum of `sampled_kl`."""
    constant = f32(0.0)
    for j in range(size):
        constant += parameters[extra + j] + f32(0.5 * math.log(2.0 * math.pi))
        gradient[extra + j] = f32(0.0)
    share, divergence = f32(1.0 / rows), f32(0.0)
    for r in range(rows):
        sample, to = order[start + r], at + r * width
        log_prob = f32(0.0)
        for j in range(size):
            inverse = f32(math.exp(-parameters[extra + j]))
            z = (samples.actions[sample * size + j] - outputs[to + j]) * inverse
            log_prob -= f32(0.5) * z * z
            slopes[to + j] = z
        log_ratio = log_prob - constant - samples.old_log_prob[sample]
        divergence += sampled_kl(loss, log_ratio)
        gain = slope(loss.term, loss.clip_range, log_ratio, samples.advantages[sample])
        weight = gain * -share
        for j in range(size):
            z = slopes[to + j]
            gradient[extra + j] += weight * (z * z - f32(1.0))
            slopes[to + j] = z * f32(math.exp(-parameters[extra + j])) * weight
    for j in range(size):
        gradient[extra + j] -= f32(loss.entropy_coef)
    if loss.kl_coef == 0.0:
        return divergence
    coef = f32(loss.kl_coef)
    for j in range(size):
        log_std = parameters[extra + j]
        precision = f32(math.exp(f32(-2.0) * log_std)) * share
        squares = f32(0.0)
        for r in range(rows):
            shift = outputs[at + r * width + j] - samples.old[order[start + r] * size + j]
            slopes[at + r * width + j] += coef * (shift * precision)
            squares += shift * shift
        spread = -f32(math.expm1(f32(2.0) * (samples.old_log_std[j] - log_std)))
        gradient[extra + j] += coef * (spread - squares * precision)
    return divergence


@fused
def state_gaussian(
    loss: Loss, samples: Samples, order: Any, start: int, rows: int, size: int, first: Any,
    outputs: Any, at: int, width: int, slopes: Any,
) -> Any:  # fmt: skip
    """The descent direction in the outputs, the means and what gives the log deviations, (2 size,)
    of each row, into `slopes`. size: the action's. Returns the sum of `sampled_kl`."""
    share, divergence = f32(1.0 / rows), f32(0.0)
    bonus, coef = f32(loss.entropy_coef) * share, f32(loss.kl_coef) * share
    for r in range(rows):
        sample, to = order[start + r], at + r * width
        log_prob = f32(-0.5 * math.log(2.0 * math.pi) * size)
        for j in range(size):
            log_std, bend = log_std_of(outputs[to + size + j], first)
            inverse = f32(math.exp(-log_std))
            z = (samples.actions[sample * size + j] - outputs[to + j]) * inverse
            log_prob -= f32(0.5) * z * z + log_std
        log_ratio = log_prob - samples.old_log_prob[sample]
        divergence += sampled_kl(loss, log_ratio)
        gain = slope(loss.term, loss.clip_range, log_ratio, samples.advantages[sample])
        weight = gain * -share
        for j in range(size):
            log_std, bend = log_std_of(outputs[to + size + j], first)
            inverse = f32(math.exp(-log_std))
            z = (samples.actions[sample * size + j] - outputs[to + j]) * inverse
            in_mean, in_log_std = z * inverse * weight, (z * z - f32(1.0)) * weight - bonus
            if loss.kl_coef != 0.0:
                shift = (outputs[to + j] - samples.old[sample * size + j]) * inverse
                log_ratio = samples.old_log_std[sample * size + j] - log_std
                in_mean += coef * shift * inverse
                in_log_std -= coef * (f32(math.expm1(f32(2.0) * log_ratio)) + shift * shift)
            slopes[to + j] = in_mean
            slopes[to + size + j] = in_log_std * bend
    return divergence


@fused
def log_softmax(z: Any, at: int, size: int, out: Any, to: int) -> None:
    """log p of every category, from logits."""
    highest, total = z[at], f32(0.0)
    for j in range(1, size):
        highest = max(highest, z[at + j])
    for j in range(size):
        total += f32(math.exp(z[at + j] - highest))
    log_total = f32(math.log(total))
    for j in range(size):
        out[to + j] = z[at + j] - highest - log_total


@fused
def categorical(
    loss: Loss, samples: Samples, order: Any, start: int, rows: int, parts: Any, size: int,
    outputs: Any, at: int, width: int, slopes: Any,
) -> Any:  # fmt: skip
    """The descent direction in the logits, (size,) of each row, into `slopes`. Returns the sum of
    `sampled_kl`."""
    share, count, divergence = f32(1.0 / rows), len(parts), f32(0.0)
    bonus, coef = f32(loss.entropy_coef) * share, f32(loss.kl_coef) * share
    for r in range(rows):
        sample, to = order[start + r], at + r * width
        log_prob, part = f32(0.0), 0
        for i in range(count):
            log_softmax(outputs, to + part, parts[i], slopes, to + part)
            log_prob += slopes[to + part + np.int64(samples.actions[sample * count + i])]
            part += parts[i]
        log_ratio = log_prob - samples.old_log_prob[sample]
        divergence += sampled_kl(loss, log_ratio)
        gain = slope(loss.term, loss.clip_range, log_ratio, samples.advantages[sample])
        weight, part = gain * -share, 0
        for i in range(count):
            chosen, entropy = np.int64(samples.actions[sample * count + i]), f32(0.0)
            if loss.entropy_coef != 0.0:
                for j in range(parts[i]):
                    entropy -= f32(math.exp(slopes[to + part + j])) * slopes[to + part + j]
            for j in range(parts[i]):
                log_p = slopes[to + part + j]
                p = f32(math.exp(log_p))
                found = (f32(j == chosen) - p) * weight
                if loss.entropy_coef != 0.0:
                    found += bonus * p * (log_p + entropy)
                if loss.kl_coef != 0.0:
                    found += coef * (p - samples.old[sample * size + part + j])
                slopes[to + part + j] = found
            part += parts[i]
    return divergence


@fused
def softplus(x: Any) -> Any:
    """log(1 + e^x) without overflow."""
    return max(x, f32(0.0)) + f32(math.log1p(math.exp(-abs(x))))


@fused
def bernoulli(
    loss: Loss, samples: Samples, order: Any, start: int, rows: int, size: int,
    outputs: Any, at: int, width: int, slopes: Any,
) -> Any:  # fmt: skip
    """The descent direction in the logits, (size,) of each row, into `slopes`. Returns the sum of
    `sampled_kl`."""
    share, divergence = f32(1.0 / rows), f32(0.0)
    bonus, coef = f32(loss.entropy_coef) * share, f32(loss.kl_coef) * share
    for r in range(rows):
        sample, to = order[start + r], at + r * width
        log_prob = f32(0.0)
        for j in range(size):
            signed = (f32(1.0) - f32(2.0) * samples.actions[sample * size + j]) * outputs[to + j]
            log_prob -= softplus(signed)
        log_ratio = log_prob - samples.old_log_prob[sample]
        divergence += sampled_kl(loss, log_ratio)
        gain = slope(loss.term, loss.clip_range, log_ratio, samples.advantages[sample])
        weight = gain * -share
        for j in range(size):
            logit = outputs[to + j]
            p = f32(math.exp(-softplus(-logit)))
            found = (samples.actions[sample * size + j] - p) * weight
            if loss.entropy_coef != 0.0:
                found += bonus * logit * p * (f32(1.0) - p)
            if loss.kl_coef != 0.0:
                found += coef * (p - samples.old[sample * size + j])
            slopes[to + j] = found
    return divergence


@fused
def ascend(
    net: Net, head: Head, vectors: Vectors, step: Step, count: int, room: Room,
    samples: Samples, loss: Loss, order: Any, chunk: int, at_old: bool,
) -> tuple[int, int, int, bool]:  # fmt: skip
    """Adam along the gradient of the loss, minibatch by minibatch, until one has a larger mean of
    `sampled_kl` than the target; no epoch follows one until the end of which no gradient was
    usable.

    count: Adam's steps so far. order: of every epoch the numbers of all B samples. chunk: samples
    per minibatch. at_old: the policy is pi_old, where the KL has no gradient. What rounding makes
    of it there Adam, which knows no scale, would take for a direction.
    Returns the samples gone through, Adam's steps now, the reason of the last step that was not
    taken, and whether the policy still is pi_old.
    """
    size, features, outputs = len(samples.advantages), net.sizes[0], net.sizes[len(net.sizes) - 1]
    width = padded(outputs)
    plain = Loss(loss.term, loss.clip_range, 0.0, loss.entropy_coef, loss.target_kl)
    before, reason = count, 0
    for epoch in range(0, len(order), size):
        for start in range(epoch, epoch + size, chunk):
            rows = min(chunk, epoch + size - start)
            gather(samples.inputs, order, start, rows, features, room.inputs)
            at = forward(vectors.parameters, net, room.inputs, rows, room.work)
            for i in range(at, at + rows * width, LANES):
                store(room.slopes, i, splat(f32(0.0)))
            here = plain if at_old else loss
            if head.kind == GAUSSIAN:
                divergence = gaussian(
                    here, samples, order, start, rows, outputs, vectors.parameters,
                    head.extra, room.work, at, width, room.slopes, vectors.gradient,
                )  # fmt: skip
            elif head.kind == STATE_GAUSSIAN:
                divergence = state_gaussian(
                    here, samples, order, start, rows, outputs // 2, head.first_log_std,
                    room.work, at, width, room.slopes,
                )  # fmt: skip
            elif head.kind == CATEGORICAL:
                divergence = categorical(
                    here, samples, order, start, rows, head.parts, outputs,
                    room.work, at, width, room.slopes,
                )  # fmt: skip
            else:
                divergence = bernoulli(
                    here, samples, order, start, rows, outputs, room.work, at, width, room.slopes
                )
            if divergence > loss.target_kl * rows:
                return start, count, reason, at_old
            backward(net, vectors.parameters, room, rows, vectors.gradient)
            problem = clipped_step(vectors, step, count)
            if problem == TAKEN:
                count, at_old = count + 1, False
            else:
                reason = problem
        if count == before:
            return epoch + size, count, reason, at_old
    return len(order), count, reason, at_old
