"""value=none: runs that learn no value function, whatever the network and the sampler."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import toys
from tests.support.running import BATCH, untimed
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import config_from_yaml, config_to_yaml
from trpo_cli.training.trainer import Training

SMALL = ["seed=1", "threads=1", "sampler.num_envs=4", "sampler.steps_per_env=32", "value=none"]
IMAGES = ["env=Toy/Camera-v0", "policy=trpo_cnn", "policy.precision=float32"]


def rows(*overrides: str, count: int = 2) -> list[dict[str, Any]]:
    training = Training(config_of(*SMALL, *overrides))
    try:
        found = [untimed(training.iterate()) for _ in range(count)]
        arrays, _ = training.state()
        assert not [key for key in arrays if key.startswith("value/")]
        return found
    finally:
        training.close()


def check(found: list[dict[str, Any]]) -> None:
    for row in found:
        assert not [key for key in row if key.startswith("value/")]
        assert row["policy/surrogate_after"] > row["policy/surrogate_before"]


@pytest.mark.parametrize("rule", ["vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual"])
def test_every_rule(rule: str) -> None:
    check(rows(f"algo={rule}", "env=CartPole-v1", "advantage=reward_to_go"))


@pytest.mark.parametrize(
    "advantage", ["total_return", "average_baseline", "q_value advantage.return_lambda=1"]
)
def test_every_estimator_that_needs_none(advantage: str) -> None:
    check(rows("algo=trpo", "env=CartPole-v1", *f"advantage={advantage}".split()))


@pytest.mark.parametrize("rule", ["trpo", "ppo"])
def test_images(rule: str) -> None:
    assert "Toy/Camera-v0" not in toys.SPACES  # the import registers it
    check(rows(f"algo={rule}", *IMAGES, "advantage=reward_to_go", count=1))


def test_the_vine() -> None:
    vine = ["sampler=vine", "sampler.bootstrap=false", "sampler.rollout_states=8"]
    vine += ["algo=trpo", "env=Hopper-v4", "sampler.horizon=5"]
    check(rows(*vine, "sampler.use_trunk=false"))
    check(rows(*vine, "advantage=reward_to_go"))


def test_learns() -> None:
    """A context's best action is worth 1, and episodes take one step: nothing is ever cut."""
    overrides = ["algo=vpg", "env=Toy/Discrete-v0", "advantage=average_baseline"]
    found = rows(*overrides, "algo.learning_rate=0.02", count=40)
    assert found[0]["train/return_mean"] < 0.6 and found[-1]["train/return_mean"] > 0.95
    assert found[-1]["step"] == 40 * BATCH


def test_the_text_of_a_configuration() -> None:
    config = config_of(*SMALL, "advantage=average_baseline")
    again = config_from_yaml(config_to_yaml(config))
    assert again == config and again.value.name == "none"
    # A file from before there was a choice of estimators.
    text = config_to_yaml(config_of("advantage.gae_lambda=0.5")).replace("  name: gae\n", "")
    assert "name: gae" not in text
    old = config_from_yaml(text)
    assert (old.advantage.name, old.advantage.gae_lambda) == ("gae", 0.5)
