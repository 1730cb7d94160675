"""Nothing that is not a finite number reaches the policy, the value function or a checkpoint.

Whole arrays are looked at once an iteration, by their sum: some microseconds each. Only a sum
that is not finite is worth a closer look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trpo_cli.data.frames import FrameStacks
from trpo_cli.data.records import Batch, Evaluations, Trajectories
from trpo_cli.errors import RunFailed
from trpo_cli.maths.arrays import Array, as_numpy, namespace


def check_trajectories(trajectories: Trajectories, policy: Any, step: int) -> None:
    """Raise `RunFailed` for the first number that is not finite, in the order of time.

    What comes after it in the same environment usually follows from it. policy: the one that
    acted. step: environment steps before this batch.
    """
    named: dict[str, Any] = {
        "observation": trajectories.observations,
        "action": trajectories.actions,
        "reward": trajectories.rewards,
        "final observation": trajectories.final_observations,
        "last observation": trajectories.last_observations,
    }
    bad = [what for what, array in named.items() if not finite(array)]
    if not bad:
        return
    steps, envs = trajectories.rewards.shape
    found = []
    for rank, what in enumerate(named):
        if what not in bad:
            continue
        named[what] = as_numpy(named[what])
        index = np.argwhere(~np.isfinite(named[what]))[0]  # the earliest: t is the first axis
        value, place = named[what][tuple(index)], index[2:]
        if what == "final observation":
            (t, n), place = trajectories.ends[index[0]], index[1:]
        elif what == "last observation":
            (t, n), place = (steps - 1, index[0]), index[1:]
        else:
            t, n = index[:2]
        found.append((int(t), rank, what, int(n), place.tolist(), float(value)))
    t, _, what, n, place, value = min(found)
    n += trajectories.first_env
    at = step + t * (trajectories.all_envs or envs) + n + 1
    where = f"[{', '.join(map(str, place))}]" if place else ""
    why = "" if finite(policy.parameters) else " The policy's parameters are not finite either."
    raise RunFailed(
        f"the {what} of environment {n} is not finite: {what}{where} is {value} at environment "
        f"step {at:,} (step {t + 1} of {steps} of its batch).{why} Nothing was learned from this "
        "batch.",
        arrays=arrays_of(trajectories),
        facts={"what": what + where, "value": str(value), "environment": n, "at_step": at},
    )


def check_evaluations(batch: Evaluations, step: int) -> None:
    """Raise `RunFailed` for a score that is not finite. step: environment steps before."""
    bad = np.argwhere(~np.isfinite(batch.scores))
    if not len(bad):
        return
    sign, pair = bad[0]
    raise RunFailed(
        f"the score of {len(bad)} of {batch.scores.size} perturbed policies is not finite after "
        f"{step:,} environment steps, the first that of direction {pair} "
        f"({'-' if sign else '+'}): {batch.scores[sign, pair]}. Nothing was learned from them.",
        arrays=arrays_of(batch),
        facts={"what": "scores", "direction": int(pair)},
    )


def check_batch(batch: Batch, trajectories: Trajectories, value: Any, step: int) -> None:
    """Raise `RunFailed` when the estimates are not finite: nothing may learn from them.

    value: the value function behind them. step: environment steps before this batch.
    """
    why = "its rewards, or what the value function predicts, are too large for 32-bit numbers"
    if not finite(value.parameters):
        why = "the value function's parameters are not finite"
    for what, array in (("returns", batch.returns), ("advantages", batch.advantages)):
        bad = not finite(array)
        if not batch.split.max(bad):
            continue
        if not bad:
            return  # another process has those, and says so
        rows = np.flatnonzero(~np.isfinite(as_numpy(array)))
        n = trajectories.first_env + int(rows[0]) % trajectories.rewards.shape[1]
        raise RunFailed(
            f"{len(rows)} of {len(array)} {what} are not finite after {step:,} environment steps, "
            f"the first in environment {n}: {why}. Nothing was learned from this batch.",
            arrays=arrays_of(trajectories, batch),
            facts={"what": what, "environment": n},
        )


def check_learned(policy: Any, value: Any, metrics: Mapping[str, Any], step: int, *on: Any) -> None:
    """Raise `RunFailed` when an update left parameters or a loss that are no numbers any more:
    nothing is learned from there. on: the records that it learned from."""
    helps = "a smaller step size (algo.* or value.learning_rate) usually helps."
    bad = {
        f"the {name} has parameters that are not finite": f"{name} parameters"
        for name, part in (("policy", policy), ("value function", value))
        if not finite(part.parameters)
    }
    bad |= {
        f"{key} is {metrics[key]}": key
        for key in ("policy/kl", "value/loss")
        if not math.isfinite(metrics.get(key) or 0.0)
    }
    for message, what in bad.items():
        raise RunFailed(
            f"{message} after step {step}; {helps}",
            arrays=arrays_of(*on),
            facts={"what": what, "at_step": step},
        )


def finite(array: Array | FrameStacks) -> bool:
    """Whether every element is finite; bytes always are."""
    if isinstance(array, FrameStacks):
        return True
    with np.errstate(all="ignore"):
        if math.isfinite(float(array.sum())):
            return True
    return bool(namespace(array).isfinite(array).all())  # a sum may overflow


def arrays_of(*records: Any) -> dict[str, np.ndarray]:
    """The arrays of records by their names, as numpy arrays; of several, the first one's."""
    found: dict[str, np.ndarray] = {}
    for record in records:
        for name, value in vars(record).items():
            if isinstance(value, FrameStacks):
                found.setdefault("frames", as_numpy(value.planes))
                found.setdefault(f"{name}_frames", as_numpy(value.index))
            elif hasattr(value, "shape"):
                found.setdefault(name, as_numpy(value))
    return found
