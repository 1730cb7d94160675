"""Policies that remember: from the simulators to the update, and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import running
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.data.sequences import Sequences, Together
from trpo_cli.distributed.split import WHOLE
from trpo_cli.errors import UserError
from trpo_cli.estimators.batch import Estimation
from trpo_cli.models.orders import draw_order
from trpo_cli.runs import checkpoint
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.evaluation import evaluate, evaluation_streams
from trpo_cli.training.trainer import Training

RECALL = "trpo_cli.simulators.recall:trpo_cli/Recall-v0"
RULES = running.RULES
every_cell = pytest.mark.parametrize("cell", ["gru", "lstm"])


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk has when the power fails is not the subject here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def training(rule: str = "ppo", cell: str = "gru", /, **changes: Any) -> Training:
    """Episodes of 7 steps and of several in progress where a rollout of 32 steps ends."""
    changes = {"env.kwargs": "{delay: 5}", "policy.memory_size": 8, **changes}
    found = running.settings(rule, RECALL, policy=cell, **changes)
    return Training(config_of(*[s.replace("env.kwargs=", "+env.kwargs=") for s in found]))


def collected(one: Training) -> Any:
    sampler: Any = one.sampler
    return sampler.collect(one.policy, np.random.default_rng(5))


@every_cell
class TestRollout:
    def test_log_probabilities_are_those_of_acting(self, cell: str) -> None:
        """By `linearize` through whole sequences, from the second rollout on, where episodes are in
        progress at the start: with the noise that was drawn, its outputs give the same actions."""
        one = training("ppo", cell)
        policy: Any = one.policy
        collected(one)
        trajectories = collected(one)
        assert trajectories.memory.states[0].any(), "an episode goes on from the last rollout"
        assert trajectories.terminated[:-1].any()
        inputs = policy.inputs(trajectories.flat_observations, trajectories.memory)
        logits = policy.linearize(inputs).distribution.logits
        parts = policy.network.views(policy.parameters)
        steps, envs = trajectories.rewards.shape
        seen = policy.normalize(trajectories.flat_observations).reshape(steps, envs, -1)
        for t in range(steps):
            acted, _ = policy.network.step(parts, seen[t], trajectories.memory.states[t])
            np.testing.assert_allclose(logits.reshape(steps, envs, -1)[t], acted, atol=1e-6)

    def test_states_go_on_but_for_new_episodes(self, cell: str) -> None:
        one = training("ppo", cell)
        trajectories = collected(one)
        policy: Any = one.policy
        memory = trajectories.memory
        steps, envs = trajectories.rewards.shape
        seen = policy.normalize(trajectories.flat_observations).reshape(steps, envs, -1)
        parts, finals = policy.network.views(policy.parameters), iter(memory.final)
        for t in range(steps):
            assert not memory.states[t][memory.begins[t]].any()
            _, after = policy.network.step(parts, seen[t], memory.states[t])
            following = memory.states[t + 1] if t + 1 < steps else memory.last
            for n in range(envs):
                if trajectories.terminated[t, n]:
                    np.testing.assert_allclose(next(finals), after[n], atol=1e-6)
                    assert not following[n].any()
                else:
                    np.testing.assert_allclose(following[n], after[n], atol=1e-6)
        assert next(finals, None) is None

    def test_the_value_function_sees_what_is_remembered(self, cell: str) -> None:
        one = training("ppo", cell)
        parts, trajectories = one.parts, collected(one)
        batch = Estimation(
            trajectories, parts.policy, parts.value, 0.99, parts.config.advantage
        ).batch()
        assert isinstance(batch.observations, Sequences)
        features = parts.policy.normalize(trajectories.flat_observations)
        states = trajectories.memory.states.reshape(len(features), -1)
        np.testing.assert_array_equal(batch.features, np.hstack([features, states]))
        assert batch.together == Together(envs=4, length=32)


class TestSequences:
    def test_minibatches_are_whole_sequences(self) -> None:
        """64 samples of sequences of 32 are two environments' 32 steps each, in time."""
        order = draw_order(128, np.random.default_rng(0), np.zeros(1), WHOLE, Together(4, 32))
        assert sorted(order.tolist()) == list(range(128))
        for number in range(2):
            part = order[64 * number : 64 * (number + 1)].reshape(2, 32)
            times, envs = np.divmod(part, 4)
            np.testing.assert_array_equal(times, [np.arange(32)] * 2)
            assert (envs == envs[:, :1]).all() and envs[0, 0] != envs[1, 0]

    @pytest.mark.parametrize(("wanted", "steps"), [(1, 4), (64, 2), (40, 4), (127, 1), ("null", 1)])
    def test_steps_of_an_epoch(self, wanted: Any, steps: int) -> None:
        """Of 4 sequences of 32: minibatches of 32, 64, 32, 128 and 128 samples."""
        one = training("ppo", **{"algo.minibatch_size": wanted, "algo.epochs": 1})
        before = one.parts.rule._optimizer._adam.steps
        one.iterate()
        assert one.parts.rule._optimizer._adam.steps - before == steps

    def test_the_fisher_matrix_is_of_whole_sequences(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one = training("trpo", **{"algo.fisher_fraction": 0.5})
        seen: list[Any] = []
        linearize = type(one.policy).linearize

        def noted(policy: Any, inputs: Any) -> Any:
            seen.append(inputs)
            return linearize(policy, inputs)

        monkeypatch.setattr(type(one.policy), "linearize", noted)
        one.iterate()
        part = seen[1]  # after the whole batch
        assert part.inputs.shape[:2] == (32, 2) and len(part) == 64

    def test_members(self) -> None:
        """Of 4 steps of 3 environments, samples 3 t + n: of sequences of 2 steps, number 4 is the
        second one of environment 1."""
        assert Together(3, 4).members(np.array([2, 0])).tolist() == [2, 5, 8, 11, 0, 3, 6, 9]
        assert Together(3, 2).members(np.array([4, 0])).tolist() == [7, 10, 0, 3]
        assert Together(3, 2).count(12) == 6

    @pytest.mark.parametrize(
        ("together", "halves"),
        [
            (Together(3, 2), [([0, 1, 2, 3, 4, 5], 3), ([6, 7, 8, 9, 10, 11], 3)]),
            (Together(3, 4), [([0, 3, 6, 9], 1), ([1, 2, 4, 5, 7, 8, 10, 11], 2)]),
            (Together(1, 12), []),
        ],
    )
    def test_halves(self, together: Together, halves: list[Any]) -> None:
        """Of 12 samples: by time where there are several sequences, otherwise by environment."""
        found = [(numbers.tolist(), part.envs) for numbers, part in together.halves(12)]
        assert found == halves
        whole = together.members(np.arange(together.count(12))).reshape(-1, together.length)
        for numbers, part in together.halves(12):
            own = numbers[part.members(np.arange(part.count(len(numbers))))]
            for sequence in own.reshape(-1, together.length).tolist():
                assert sequence in whole.tolist()

    @every_cell
    def test_shorter_ones_begin_with_what_was_remembered(self, cell: str) -> None:
        """They give the outputs of whole ones, to rounding, and shorter gradients."""
        found = []
        for length in ("null", 8):
            one = training("ppo", cell, **{"policy.sequence_length": length})
            trajectories = collected(one)
            inputs = one.policy.inputs(trajectories.flat_observations, trajectories.memory)
            found.append((inputs, one.policy.linearize(inputs)))
        (whole, here), (short, there) = found
        assert whole.begins.shape == (32, 4) and short.begins.shape == (8, 16)
        expected: Any = here.distribution
        parts: Any = there.distribution
        np.testing.assert_allclose(parts.logits, expected.logits, atol=1e-6)
        rows = Together(4, 8).members(np.array([5]))  # steps 8 to 15 of environment 1
        part = short[rows]
        assert part.begins.shape == (8, 1)
        np.testing.assert_array_equal(part.inputs[:, 0], whole.inputs[8:16, 1])

    def test_lengths_that_do_not_divide_the_rollout_are_refused(self) -> None:
        with pytest.raises(UserError, match=r"sampler\.steps_per_env=32"):
            training("ppo", **{"policy.sequence_length": 7})


class TestTraining:
    @pytest.mark.parametrize("rule", RULES)
    def test_every_rule_improves_its_surrogate(self, rule: str) -> None:
        row = training(rule, **{"algo.max_grad_norm": 0.5} if rule == "vpg" else {}).iterate()
        assert row["policy/surrogate_after"] > row["policy/surrogate_before"]
        assert row["policy/kl"] > 0.0

    @every_cell
    @pytest.mark.parametrize("rule", ["trpo", "ppo"])
    def test_a_new_training_goes_on_exactly(self, tmp_path: Path, rule: str, cell: str) -> None:
        whole, first, second = (training(rule, cell) for _ in range(3))
        expected = [running.untimed(whole.iterate()) for _ in range(5)]
        for _ in range(2):
            first.iterate()
        assert first.state()[0]["sampler/memory"].any()
        checkpoint.save(tmp_path / "step_1", *first.state())
        assert second.load_state(*checkpoint.load(tmp_path / "step_1")) == ""
        assert [running.untimed(second.iterate()) for _ in range(3)] == expected[2:]

    def test_groups_change_nothing(self) -> None:
        """Nor do their threads."""
        rows = [
            running.untimed(training("ppo", **{"sampler.groups": groups, "threads": 2}).iterate())
            for groups in (1, 2)
        ]
        for key, value in rows[0].items():
            same = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-6)
            assert rows[1][key] == same, key

    def test_other_estimates_do(self) -> None:
        """Recomputed advantages, and rewards that are scaled."""
        for change in ({"algo.recompute_advantages": "true"}, {"advantage.scale_rewards": "true"}):
            assert training("ppo", **change).iterate()["policy/kl"] > 0.0


def test_evaluation_does_not_depend_on_the_number_of_environments() -> None:
    """Each episode begins with nothing remembered, wherever it runs; and to remember matters."""
    one = training("ppo")
    one.policy.parameters[:] = np.random.default_rng(0).normal(size=len(one.policy.parameters))
    results = []
    for envs in (1, 3):
        simulator = make_simulator(one.config.env, envs, 1)
        seeds, generator = evaluation_streams(3, 12)
        results.append(evaluate(one.policy, simulator, 12, False, seeds, generator).returns)
    assert results[0] == results[1] and len(set(results[0])) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sampler=vine", "algo=trpo"], "sampler=vine"),
        (["algo=es"], "sampler=perturbations"),
        (["device=cuda"], "device=cuda"),
        (["env=Hopper-v4", "env.backend=warp"], "env.backend=warp"),
        (["value=shared"], "value=shared"),
    ],
)
def test_what_cannot_remember_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Training(config_of("policy=gru", "env=CartPole-v1", *words))


@pytest.mark.slow
@every_cell
def test_a_cue_is_recalled(cell: str) -> None:
    """What no policy without memory can do better than by chance, 0."""
    returns = {}
    for policy in (cell, "mlp"):
        one = Training(
            config_of(f"env={RECALL}", f"policy={policy}", "seed=0", "total_steps=40000")
        )
        while one.step < 40_000:
            row = one.iterate()
        returns[policy] = row["train/return_recent"]
    assert returns[cell] > 0.9
    # 100 episodes of -1 or 1 have a mean with a standard error of 0.1.
    assert abs(returns["mlp"]) < 0.4
