"""Rewards and values of rollouts whose episodes end in both ways."""

import numpy as np

DISCOUNT = 0.9


def rollout(seed, steps=12, envs=4):
    """Random rewards and values, with episodes that end in both ways."""
    rng = np.random.default_rng(seed)
    shape = (steps, envs)
    terminated = rng.random(shape) < 0.15
    truncated = (rng.random(shape) < 0.15) & ~terminated
    assert terminated.any() and truncated.any() and not (terminated | truncated)[-1].all()
    return rng.normal(size=shape), rng.normal(size=shape), terminated, truncated, rng


def arguments(array, rewards, values, next_values, terminated, truncated):
    over = terminated | truncated
    discounts = np.where(terminated, 0.0, DISCOUNT)
    given = {
        "rewards": rewards,
        "values": values,
        "next_values": next_values,
        "discounts": discounts,
        "continues": np.where(over, 0.0, 1.0),
    }
    return {name: array(x) for name, x in given.items()}
