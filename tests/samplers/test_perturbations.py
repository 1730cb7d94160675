"""The wide batch against one policy after another, and what a run of algo=es is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.run import main
from trpo_cli.config import EnvConfig
from trpo_cli.errors import UserError
from trpo_cli.runs import checkpoint
from trpo_cli.samplers.perturbations import PerturbationSampler, PerturbationsConfig
from trpo_cli.seeding import stream
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.trainer import Training

SIGMA, DISCOUNT = 0.5, 0.9


def settings(*more: str) -> list[str]:
    few = ["algo=es", "env=CartPole-v1", "seed=3", "threads=1", "sampler.num_envs=8"]
    return [*few, "total_steps=3000", "eval.episodes=2", *more]


def sampler_and_policy(env: str, **changes: Any) -> tuple[PerturbationSampler, Any]:
    config = replace(PerturbationsConfig(num_envs=8, steps_per_env=40), **changes)
    simulator = make_simulator(EnvConfig(env), config.num_envs, 1)
    spaces = simulator.observation_space, simulator.action_space
    policy = config_of("policy=mlp").policy.build(*spaces, stream(0, "policy_init"))
    policy.parameters += np.random.default_rng(7).normal(0, 0.3, len(policy.parameters))
    return PerturbationSampler(simulator, config, SIGMA, DISCOUNT), policy


@pytest.mark.parametrize("env", ["CartPole-v1", "Hopper-v4"])
@pytest.mark.parametrize("episodes", [1, 2])
def test_one_wide_batch_is_one_policy_after_another(env: str, episodes: int) -> None:
    """Scores, returns and lengths of every perturbed policy, run alone.

    Products of matrices side by side may round their last digits in another way, and Hopper's
    contacts magnify that: its episodes are cut after ten steps."""
    limit = 40 if env == "CartPole-v1" else 10
    sampler, policy = sampler_and_policy(env, episodes=episodes, steps_per_env=limit)
    found = sampler.collect(policy, np.random.default_rng(1), None, np.random.default_rng(2))
    seeds = np.random.default_rng(2).integers(2**31, size=(4 // episodes, episodes))
    size = policy.network.num_parameters
    alone = make_simulator(EnvConfig(env), 1, 1)
    theta, row, scores, steps = policy.parameters.copy(), 0, [], 0
    for sign in (1.0, -1.0):
        for pair, own in enumerate(seeds):
            policy.parameters[:size] = theta[:size] + np.float32(sign * SIGMA) * found.noise[pair]
            for seed in own:
                paid, discounted, length = 0.0, 0.0, 0
                seen = alone.reset(seed=[int(seed)])
                over = False
                while not over and length < limit:
                    action = policy.act(np.asarray(seen, np.float32), None)
                    step = alone.step(policy.to_env(action))
                    paid += step.rewards[0]
                    discounted += DISCOUNT**length * step.rewards[0]
                    length, seen = length + 1, step.observations
                    over = bool(step.terminated[0] or step.truncated[0])
                assert found.episode_lengths[row] == length
                assert found.episode_returns[row] == pytest.approx(paid, rel=1e-4)
                scores.append(discounted)
                row, steps = row + 1, steps + length
    expected = np.array(scores).reshape(2, -1, episodes).mean(axis=2)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
    assert found.num_steps == steps == sum(found.episode_lengths)


def test_a_pair_shares_its_seeds() -> None:
    """With a perturbation too small to change any action, both halves see the same episodes."""
    sampler, policy = sampler_and_policy("CartPole-v1")
    sampler._sigma = 1e-9
    found = sampler.collect(policy, np.random.default_rng(1), None, np.random.default_rng(2))
    np.testing.assert_array_equal(found.scores[0], found.scores[1])
    assert len(set(found.episode_lengths[:4])) > 1  # and other pairs other ones


def test_resuming_is_exact(tmp_path: Path) -> None:
    config = config_of(*settings())
    whole = Training(config)
    expected = [running.untimed(whole.iterate()) for _ in range(5)]
    first = Training(config)
    rows = [running.untimed(first.iterate()) for _ in range(2)]
    checkpoint.save(tmp_path / "step_1", *first.state())
    second = Training(config)
    assert second.load_state(*checkpoint.load(tmp_path / "step_1")) == ""
    assert rows + [running.untimed(second.iterate()) for _ in range(3)] == expected
    assert second.policy.parameters.tobytes() == whole.policy.parameters.tobytes()


def test_steps_are_those_of_episodes_that_still_ran() -> None:
    training = Training(config_of(*settings()))
    row = training.iterate()
    assert row["train/episodes"] == 8
    assert row["step"] == pytest.approx(8 * row["train/length_mean"])
    assert row["train/return_mean"] == row["train/length_mean"]  # CartPole pays 1 a step
    assert training.policy.normalizer.count == row["step"]  # type: ignore[union-attr]


def test_it_learns_cartpole() -> None:
    """200 of 500 after 60,000 steps, where it begins at about 20: ten seeds gave 324 to 464."""
    training = Training(config_of("algo=es", "env=CartPole-v1", "seed=0", "threads=1"))
    while training.step < 60_000:
        row = training.iterate()
    assert row["train/return_mean"] > 200.0


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sampler=single_path"], "cannot be combined with sampler=single_path"),
        (["sampler=vine"], "cannot be combined with sampler=vine"),
        (["sampler.num_envs=7"], "sampler.num_envs=7 cannot be divided"),
        (["sampler.episodes=3"], "Try a multiple of 6"),
        (["value=mlp"], "value=mlp cannot be used with algo=es"),
        (["advantage=gae"], "advantage=gae"),
        (["policy=nature_cnn"], "policy=nature_cnn"),
        (["algo.sigma=0"], "algo.sigma=0"),
    ],
)
def test_refusals(
    overrides: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {text.partition("=")[0] for text in overrides}
    usual = [text for text in settings() if text.partition("=")[0] not in given]
    assert main([*usual, *overrides]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_perturbations_are_for_es_alone() -> None:
    with pytest.raises(UserError, match="algo=trpo cannot be combined"):
        config_of("algo=trpo", "sampler=perturbations")
