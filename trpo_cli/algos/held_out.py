"""What the natural direction of one half of a batch gains on the other half.

For halves a and b of a batch, in time, with gradients g_a, g_b of the surrogate at pi_old and
x_a ~= F_a^-1 g_a, solved as the rule solves it, alpha_a the rule's step length for x_a:

    in sample    alpha_a g_a'x_a     what the linear model promises on the half it was made from
    held out     alpha_a g_b'x_a     what it promises on samples that x_a has not seen

and the means of both with a and b exchanged. g_b is independent of the noise in x_a, up to what
episodes that lie in both halves share, so that the second is an unbiased estimate of the gain of a
step that is made from half a batch; the first counts as gain whatever noise was fitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trpo_cli.algos.base import Metrics
from trpo_cli.algos.natural_gradient import natural_direction
from trpo_cli.algos.objectives import objective_of
from trpo_cli.data.records import Batch, BranchBatch
from trpo_cli.maths.arrays import Array

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy

EVERY = 10
"""Updates from one measurement to the next: one costs about as much as an update."""
IN_SAMPLE = "trust_region/in_sample_improvement"
HELD_OUT = "trust_region/held_out_improvement"
ROWS = ("observations", "actions", "advantages")
"""The fields of a batch with a row for each sample that a direction is made of."""


class HeldOut:
    """Measures the first of every ten updates, before it moves the policy; nothing else changes,
    no generator either."""

    def __init__(self) -> None:
        self._updates = 0

    def metrics(
        self, policy: Policy, batch: Batch, config: Any, length: Callable[[float], float]
    ) -> Metrics:
        """Both gains; None between measurements, and where a half has no direction.

        config: the rule's. length: x'Fx -> alpha.
        """
        found: Metrics = {IN_SAMPLE: None, HELD_OUT: None}
        if self._updates % EVERY == 0:
            found.update(self._measured(policy, batch, config, length))
        self._updates += 1
        return found

    def _measured(
        self, policy: Policy, batch: Batch, config: Any, length: Callable[[float], float]
    ) -> Metrics:
        generator, gradients, steps = np.random.default_rng(self._updates), [], []
        for half in halves(batch):
            here = policy.linearize(half.observations)
            gradients.append(objective_of(policy, here, half, config.entropy_coef).gradient)
            natural = natural_direction(policy, half, gradients[-1], config, generator)
            if natural.reason:
                return {}
            steps.append(length(natural.curvature) * natural.direction)
        if not steps:
            return {}

        def gain(first: int, second: int) -> float:
            return 0.5 * float(gradients[first] @ steps[0] + gradients[second] @ steps[1])

        return {IN_SAMPLE: gain(0, 1), HELD_OUT: gain(1, 0)}

    def state(self) -> dict[str, Array]:
        return {"updates": np.array([self._updates])}

    def load_state(self, state: dict[str, Array]) -> None:
        if "updates" in state:  # earlier versions saved none
            self._updates = int(state["updates"][0])


def halves(batch: Batch) -> list[Batch]:
    """The earlier and the later samples of a batch; none of a batch with too few. Samples are
    numbered by time and then by environment, and so are the vine's states. Whole sequences of a
    policy that remembers: see `Together.halves`."""
    size, states = batch.size, 2
    if batch.together is not None:
        return [
            dataclasses.replace(_part(batch, numbers, slice(None)), together=together)
            for numbers, together in batch.together.halves(size)
        ]
    if batch.branches is not None:
        states = len(batch.branches.values)
    if min(size, states) < 2:
        return []
    return [
        _part(batch, np.arange(size // 2), slice(None, states // 2)),
        _part(batch, np.arange(size // 2, size), slice(states // 2, None)),
    ]


def _part(batch: Batch, numbers: np.ndarray, states: slice) -> Batch:
    """The samples of these numbers, and these of the states of a vine."""
    rows, split = batch.split.part(numbers)
    fields: dict[str, Any] = {name: getattr(batch, name)[rows] for name in ROWS}
    if batch.acted is not None:
        fields["acted"] = batch.acted.rows(rows)
    if batch.branches is not None:
        fields["branches"] = _branches(batch.branches, states)
    return dataclasses.replace(batch, split=split, **fields)


def _branches(branches: BranchBatch, states: slice) -> BranchBatch:
    count, k = branches.values.shape
    actions = branches.actions.reshape(count, k, -1)[states]
    log_proposal = branches.log_proposal
    return dataclasses.replace(
        branches,
        observations=branches.observations[states],
        actions=actions.reshape(-1, actions.shape[2]),
        values=branches.values[states],
        log_proposal=None if log_proposal is None else log_proposal[states],
    )
