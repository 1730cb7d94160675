"""What multiplies grad log pi in the policy gradient: Psi_t, over (T, N) arrays.

    grad eta = E[sum_t gamma^t Psi_t grad log pi(a_t|s_t)]

Any of these will do (Schulman et al. 2016, section 2), with less and less variance:

    total_returns             sum_k gamma^(k-t) r_k over the whole trajectory
    rewards_to_go             sum_{k >= t} gamma^(k-t) r_k            Sutton et al. 2000
    the same - b              b a constant that the batch's actions do not enter, or V(s_t)
    lambda_returns            Q(s_t, a_t) by bootstrapped returns
    returns.td_residuals      r_t + gamma V(s_{t+1}) - V(s_t)
    returns.generalized_advantages

E[b(s) grad log pi] = 0, so a baseline does not bias; where V stands for rewards that were not seen,
its error does. The arguments are those of `returns`: the table there says what they hold where
episodes end. Where a trajectory is cut, V of the state after it stands for what would have come.
"""

from __future__ import annotations

from trpo_cli.maths.arrays import Array, copy, namespace
from trpo_cli.maths.returns import decayed_sums, generalized_advantages


def rewards_to_go(rewards: Array, next_values: Array, discounts: Array, continues: Array) -> Array:
    """G_t = r_t + gamma_t G_{t+1}, and r_t + gamma_t V(s_{t+1}) at the end, (T, N) (Sutton & Barto
    2018, equation 3.9)."""
    returns = rewards + discounts * (1.0 - continues) * next_values
    returns[-1] = rewards[-1] + discounts[-1] * next_values[-1]
    return decayed_sums(returns, discounts * continues)


def total_returns(rewards: Array, next_values: Array, discounts: Array, continues: Array) -> Array:
    """R(tau) = sum_k gamma^k r_k of the part of a trajectory that is in the rollout, the same for
    each of its steps, (T, N) (Williams 1992).

    It counts from the part's first step, k = 0: it has the weight gamma^t in it, and is an estimate
    of the discounted return's gradient without another. See `start_of_part`.
    """
    return start_of_part(rewards_to_go(rewards, next_values, discounts, continues), continues)


def lambda_returns(
    rewards: Array,
    values: Array,
    next_values: Array,
    discounts: Array,
    continues: Array,
    return_lambda: float,
) -> Array:
    """G_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda G_{t+1}) = V(s_t) + A_t, (T, N) (Sutton &
    Barto 2018, equation 12.9 and exercise 12.3), A_t by `generalized_advantages`."""
    steps = (rewards, values, next_values, discounts, continues)
    return generalized_advantages(*steps, return_lambda) + values


def start_of_part(x: Array, continues: Array) -> Array:
    """x (T, N) at the first step of the part of a trajectory that each step belongs to."""
    xp, found = namespace(x), copy(x)
    for t in range(1, len(x)):
        found[t] = xp.where(continues[t - 1] > 0.0, found[t - 1], x[t])
    return found


def episode_times(first: Array, ended: Array) -> Array:
    """t of each sample in its episode, (T, N). first: (N,), that of the first ones. ended: (T, N)
    bool, the episode's last step."""
    xp = namespace(ended)
    times = xp.zeros_like(ended, dtype=first.dtype)
    times[0] = first
    for t in range(1, len(ended)):
        times[t] = xp.where(ended[t - 1], 0, times[t - 1] + 1)
    return times
