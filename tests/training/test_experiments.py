"""The settings under ``conf/experiment``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.components import conf_dir

NAMES = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))

# Schulman et al. 2015, appendix: hidden units; simulated steps and Q-values of an iteration; length
# of rollouts.
PAPER = {
    "swimmer": ([30], 50_000, 500, 50),
    "hopper": ([50], 1_000_000, 2500, 100),
    "walker2d": ([50], 1_000_000, 2500, 100),
}


@pytest.mark.parametrize("name", NAMES)
def test_composes(name: str) -> None:
    config = config_of(f"+experiment={name}")
    assert config.total_steps >= config.sampler.num_envs * config.sampler.steps_per_env


@pytest.mark.parametrize("task", PAPER)
def test_the_trpo_papers_settings(task: str) -> None:
    units, steps, q_values, length = PAPER[task]
    single, vine = (config_of(f"+experiment=paper_{task}_{s}") for s in ("single_path", "vine"))
    for config in (single, vine):
        assert config.algo.name == "trpo" and config.policy.hidden_sizes == units
        assert config.algo.max_kl == 0.01 and config.discount == 0.99
        assert config.algo.cg_iterations == 10 and config.algo.fisher_fraction == 0.1
        assert config.total_steps == 200 * steps
    sampler: Any = single.sampler
    assert sampler.num_envs * sampler.steps_per_env == pytest.approx(steps, rel=0.01)
    sampler = vine.sampler
    assert sampler.name == "vine" and sampler.actions == 4 and sampler.horizon == length
    assert not sampler.bootstrap and sampler.common_random_numbers
    assert vine.value.name == "none"  # its Q-values are of rollouts alone
    assert sampler.rollout_states * sampler.actions == q_values
    trunk, branches = sampler.num_envs * sampler.steps_per_env, q_values * length
    assert trunk + branches == pytest.approx(steps, rel=0.2)


def test_the_trpo_papers_atari() -> None:
    """100,000 steps of an iteration, 400,000 with the vine and four rollouts per state, 500 times;
    33,500 parameters."""
    single, vine = (
        config_of(f"+experiment=paper_atari_{s}", "env=BreakoutNoFrameskip-v4")
        for s in ("single_path", "vine")
    )
    for config, steps in ((single, 100_000), (vine, 400_000)):
        assert config.env.id == "BreakoutNoFrameskip-v4" and config.algo.name == "trpo"
        assert config.algo.max_kl == 0.01 and config.discount == 0.99
        algo: Any = config.algo
        assert algo.entropy_coef == 0.0
        assert config.total_steps == 500 * steps
        frames, actions = spaces.Box(0, 255, (4, 52, 40), np.uint8), spaces.Discrete(6)
        policy: Any = config.policy
        policy.precision = "float32"
        count = len(policy.build(frames, actions, np.random.default_rng(0)).parameters)
        assert round(count, -2) == 33_500
    trunk = [c.sampler.num_envs * c.sampler.steps_per_env for c in (single, vine)]
    assert trunk == [100_000, 100_000]
    sampler: Any = vine.sampler
    assert sampler.proposal == "uniform" and sampler.actions == 4
    assert not (sampler.bootstrap or sampler.use_trunk) and vine.value.name == "none"
    assert sampler.rollout_states * sampler.actions * sampler.horizon == 300_000


def test_the_swimmers_parameters() -> None:
    """8 observations, 30 units, 2 actions, 2 log standard deviations."""
    policy = config_of("+experiment=paper_swimmer_vine").policy
    seen, done = spaces.Box(-1.0, 1.0, (8,)), spaces.Box(-1.0, 1.0, (2,))
    count = len(policy.build(seen, done, np.random.default_rng(0)).parameters)
    assert count == (8 * 30 + 30) + (30 * 2 + 2) + 2 == 334
