"""The normaliser sees a batch before anything is learned from it.

From the second iteration on, the policy that acted and the one that acts next differ by the update
alone, up to what the clip does: whatever the statistics do, the first layers of the policy and of
the value function are rewritten so that both stay the same functions. The first batch was collected
without statistics, and a fresh network belongs behind whitened inputs: there the policy moves, a
little, before the update, whose old policy is the one behind the new statistics.
`policy/normalizer_kl` says how far.
"""

from __future__ import annotations

from typing import Any

from trpo_cli.distributed.split import Split
from trpo_cli.maths.distributions import mean_kl
from trpo_cli.models.policy import Policy
from trpo_cli.models.value import CarriedValue, StateValue

STATES = 64
"""States that the KL is a mean over: two passes over as many cost a twentieth of a millisecond."""


def renormalize(
    policy: Policy, value: StateValue, observations: Any, split: Split
) -> dict[str, float]:
    """Merge a batch of raw observations (B, *obs) into the normaliser; the policy and the value
    function stay.

    Returns `policy/normalizer_kl`, KL(before || after), the mean over some of the states; nothing
    where observations are not normalised.
    """
    if not policy.normalizer.enabled:
        return {}
    some = observations[:: max(1, len(observations) // STATES)]

    def distribution() -> Any:
        return policy.distribution(policy.to_device(policy.normalize(some)))

    before = distribution().detach()
    shift = policy.renormalize(observations, split)
    if shift is not None and isinstance(value, CarriedValue):
        value.carry(shift)
    kl = float(split.average(mean_kl(before, distribution())))
    return {"policy/normalizer_kl": kl}
