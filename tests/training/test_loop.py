import json
from dataclasses import replace

import numpy as np
import pytest

from tests.support import toys
from tests.support.running import lines
from trpo_cli.algos.npg import NPGConfig
from trpo_cli.algos.ppo import PPOConfig
from trpo_cli.algos.trpo import TRPOConfig
from trpo_cli.algos.vpg import VPG, VPGConfig
from trpo_cli.config import Config, EnvConfig, EvalConfig, config_from_yaml, validate
from trpo_cli.errors import RunFailed
from trpo_cli.models.policies.mlp import MLPPolicyConfig
from trpo_cli.models.values.mlp import MLPValueConfig
from trpo_cli.runs import checkpoint
from trpo_cli.runs.chain import timed
from trpo_cli.runs.logger import EVAL_KEYS
from trpo_cli.samplers.single_path import SinglePathConfig
from trpo_cli.system.clock import due
from trpo_cli.training.evaluation import Evaluator, load_policy
from trpo_cli.training.loop import train
from trpo_cli.training.trainer import Training

RULES = {"vpg": VPGConfig, "npg": NPGConfig, "trpo": TRPOConfig, "ppo": PPOConfig}
every_rule = pytest.mark.parametrize("rule", RULES)

PROGRESS = {"step", "iteration", "seconds", "steps_per_second"}
EPISODES = {f"train/{key}" for key in ("return_mean", "return_std", "length_mean", "episodes")} | {
    "train/return_recent",
    "train/failed_simulations",
}
POLICY = {
    f"policy/{key}"
    for key in (
        "kl",
        "kl_max",
        "normalizer_kl",
        "entropy",
        "surrogate_before",
        "surrogate_after",
        "std_mean",
    )
}
VALUE = {f"value/{key}" for key in ("loss", "explained_variance", "explained_variance_monte_carlo")}
TIMES = {f"time/{phase}" for phase in ("collect", "estimate", "update", "value", "other")}
TRUST_REGION = {
    f"trust_region/{key}"
    for key in (
        "accepted",
        "reason",
        "backtracks",
        "step_fraction",
        "predicted_kl",
        "expected_improvement",
        "actual_improvement",
        "in_sample_improvement",
        "held_out_improvement",
        "cg_residual",
        "cg_iterations",
        "curvature",
    )
}
OWN = {
    "vpg": {"policy/skipped"},
    "npg": TRUST_REGION,
    "trpo": TRUST_REGION,
    "ppo": {
        "policy/skipped",
        "policy/clip_fraction",
        "policy/epochs",
        "policy/learning_rate",
        "policy/surrogate_unclipped",
    },
}


def make_config(env="Toy/Box-v0", rule="trpo", **settings):
    """A small run: 64 steps an iteration from 4 environments in 2 groups."""
    defaults = {
        "seed": 3,
        "total_steps": 192,
        "threads": 1,
        "env": EnvConfig(id=env),
        "sampler": SinglePathConfig(num_envs=4, steps_per_env=16, groups=2),
        "algo": RULES[rule](),
        "policy": MLPPolicyConfig(hidden_sizes=[8]),
        "value": MLPValueConfig(hidden_sizes=[8], epochs=2),
        "eval": EvalConfig(episodes=0),
    }
    config = Config(**{**defaults, **settings})
    validate(config)
    return config


def rows_of(config, iterations=3, between=None):
    """What a run logs, without the clock; `between` is called after each iteration."""
    training, rows = Training(config), []
    for _ in range(iterations):
        rows.append(training.iterate())
        if between:
            between(training)
    training.close()
    return [{k: v for k, v in row.items() if not timed(k)} for row in rows], training


class TestIterate:
    @pytest.mark.parametrize(
        ("env", "rule"),
        [
            ("CartPole-v1", "trpo"),
            ("CartPole-v1", "ppo"),
            ("Hopper-v4", "npg"),
            ("Hopper-v4", "vpg"),
        ],
    )
    def test_the_same_seed_gives_the_same_rows(self, env, rule):
        """Also with two threads, which two groups can use."""
        first, training = rows_of(make_config(env, rule))
        again, _ = rows_of(make_config(env, rule))
        threaded, parallel = rows_of(make_config(env, rule, threads=2))
        other, _ = rows_of(make_config(env, rule, seed=4))
        assert first == again == threaded
        assert first != other
        np.testing.assert_array_equal(training.policy.parameters, parallel.policy.parameters)

    @pytest.mark.parametrize("env", ["CartPole-v1", "Hopper-v4"])
    def test_evaluation_in_between_changes_nothing(self, env):
        config = make_config(env, eval=EvalConfig(episodes=3))
        evaluator, records = Evaluator(config, 1), []

        def evaluate(training):
            records.append(evaluator.run(training.policy, training.step))

        assert rows_of(config)[0] == rows_of(config, between=evaluate)[0]
        assert len(records) == 3
        assert records[0]["seeds"] == records[2]["seeds"]

    @every_rule
    @pytest.mark.parametrize("env", toys.SPACES)
    def test_every_rule_runs_on_every_action_space(self, rule, env):
        toys.Toy.taken.clear()
        rows, training = rows_of(make_config(env, rule), iterations=2)
        for row in rows:
            numbers = [v for v in row.values() if isinstance(v, (int, float))]
            assert np.isfinite(numbers).all()
            assert row["policy/kl"] > 0.0
        expected = PROGRESS | EPISODES | POLICY | VALUE | TIMES | OWN[rule]
        if "Box" not in env:
            expected -= {"policy/std_mean"}
        assert set(rows[0]) == {key for key in expected if not timed(key)}
        assert training.policy.parameters.dtype == np.float32

    @every_rule
    def test_steps_are_those_of_the_environments(self, rule):
        toys.Toy.taken.clear()
        rows, _ = rows_of(make_config(rule=rule))
        assert [row["step"] for row in rows] == [64, 128, 192]
        assert [row["iteration"] for row in rows] == [1, 2, 3]
        assert len(toys.Toy.taken) == 192

    def test_returns_are_those_of_the_episodes(self, monkeypatch):
        """Means of this iteration's episodes, and of the last 100 over iterations."""
        training = Training(make_config("Toy/Discrete-v0"))
        finished, collect = [], training.sampler.collect

        def spy(*args):
            trajectories = collect(*args)
            finished.append(trajectories.episode_returns)
            return trajectories

        monkeypatch.setattr(training.sampler, "collect", spy)
        for _ in range(3):
            row = training.iterate()
            assert row["train/episodes"] == 64
            assert row["train/length_mean"] == 1.0
            assert row["train/return_mean"] == pytest.approx(np.mean(finished[-1]))
            assert row["train/return_std"] == pytest.approx(np.std(finished[-1]))
            recent = [value for part in finished for value in part][-100:]
            assert row["train/return_recent"] == pytest.approx(np.mean(recent))
        assert len(recent) == 100

    def test_iterations_without_an_end_have_no_returns(self):
        env = EnvConfig(id="Toy/Box-v0", kwargs={"length": 24})
        rows, _ = rows_of(replace(make_config(), env=env))
        assert rows[0]["train/episodes"] == 0
        assert rows[0]["train/return_mean"] is rows[0]["train/return_recent"] is None
        assert rows[1]["train/episodes"] == 4
        assert rows[1]["train/length_mean"] == 24.0

    def test_accepted_rows_keep_the_trust_region(self):
        config = make_config("Hopper-v4", algo=TRPOConfig(max_kl=0.01))
        rows, _ = rows_of(config, iterations=8)
        accepted = [row for row in rows if row["trust_region/accepted"]]
        assert accepted
        assert all(0.0 < row["policy/kl"] <= 0.01 for row in accepted)

    def test_parameters_that_are_not_finite_stop_the_run(self):
        training = Training(make_config())
        training.iterate()
        training.value.parameters[0] = np.nan
        with pytest.raises(
            RunFailed, match=r"after 64 environment steps.* value function's parameters"
        ):
            training.iterate()

    @every_rule
    @pytest.mark.parametrize("env", ["Toy/Box-v0", "Toy/Discrete-v0"])
    def test_a_bandit_is_solved(self, rule, env):
        """One decision per episode and two contexts: the best action is known."""
        algo = {
            "vpg": VPGConfig(learning_rate=0.03),
            "npg": NPGConfig(step_rule="fixed"),
            "trpo": TRPOConfig(max_kl=0.05),
            "ppo": PPOConfig(learning_rate=0.003, schedule="constant"),
        }[rule]
        value = MLPValueConfig(hidden_sizes=[8], learning_rate=0.01)
        config = make_config(env, algo=algo, value=value, total_steps=64 * 60)
        _, training = rows_of(config, iterations=60)
        actions = training.policy.to_env(training.policy.act(toys.CONTEXTS, None))
        for action, context in zip(actions, toys.CONTEXTS[:, 0], strict=True):
            best = toys.best_action(toys.SPACES[env], context)
            if env == "Toy/Discrete-v0":
                assert action + 5 == best  # actions of a policy count from 0
            else:
                # Over eight seeds the four rules end within 0.1 of it, from 0.5 away.
                assert action == pytest.approx(best, abs=0.15)


class TestTrain:
    @every_rule
    def test_a_whole_run(self, rule, tmp_path):
        config = make_config("Hopper-v4", rule, eval=EvalConfig(every=128, episodes=2))
        train(config, tmp_path, ["trpo-run", f"algo={rule}"])

        rows = lines(tmp_path / "metrics.jsonl")
        assert [row["step"] for row in rows] == [64, 128, 192]
        for row in rows:
            assert set(row) == {"chain"} | PROGRESS | EPISODES | POLICY | VALUE | TIMES | OWN[rule]
        evaluations = lines(tmp_path / "eval.jsonl")
        # Those of training; the best checkpoint's, on other seeds, says that it is.
        assert [r["step"] for r in evaluations if "checkpoint" not in r] == [128, 192]
        assert set(EVAL_KEYS) <= set(evaluations[0])
        assert config_from_yaml((tmp_path / "config.yaml").read_text()) == config
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["status"], manifest["reason"], manifest["step"]) == ("finished", None, 192)
        assert (manifest["seed"], manifest["backend"]) == (3, "mujoco")
        assert manifest["command"] == f"trpo-run algo={rule}"
        assert len(list(tmp_path.glob("events.out.*"))) == 1

        # The same run again, in memory: evaluation and logging changed nothing.
        again, training = rows_of(config)
        assert again == [{k: v for k, v in row.items() if not timed(k)} for row in rows]
        policy = load_policy(checkpoint.latest(tmp_path), config, training.simulator)
        rng = np.random.default_rng(0)
        observations = rng.normal(size=(5, 11)).astype(np.float32)
        noise = policy.noise(rng, (5,))
        np.testing.assert_array_equal(
            policy.act(observations, noise), training.policy.act(observations, noise)
        )

    def test_a_run_shorter_than_a_batch_is_one_iteration(self, tmp_path):
        train(make_config(total_steps=1), tmp_path, ["trpo-run"])
        assert [row["step"] for row in lines(tmp_path / "metrics.jsonl")] == [64]
        assert checkpoint.step_of(checkpoint.latest(tmp_path)) == 64
        assert not (tmp_path / "eval.jsonl").exists()

    def test_an_interruption_keeps_its_rows(self, tmp_path, monkeypatch):
        iterate = Training.iterate

        def interrupted(training):
            if training.iteration == 2:
                raise KeyboardInterrupt
            return iterate(training)

        monkeypatch.setattr(Training, "iterate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(), tmp_path, ["trpo-run"])
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["status"], manifest["step"]) == ("interrupted", 128)
        assert len(lines(tmp_path / "metrics.jsonl")) == 2

    def test_a_failure_says_why(self, tmp_path, monkeypatch):
        """An update that ruins the policy."""
        update = VPG.update

        def ruin(rule, policy, batch, generator, remaining):
            metrics = update(rule, policy, batch, generator, remaining)
            policy.parameters[0] = np.nan
            return metrics

        monkeypatch.setattr(VPG, "update", ruin)
        with pytest.raises(RunFailed, match="the policy has parameters that are not finite"):
            train(make_config(rule="vpg"), tmp_path, ["trpo-run"])
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert manifest["status"] == "failed"
        assert "not finite after step 64" in manifest["reason"]
        assert lines(tmp_path / "metrics.jsonl") == []


class TestDue:
    @pytest.mark.parametrize(
        ("every", "before", "now", "expected"),
        [
            (0, 0, 100, False),
            (100, 0, 99, False),
            (100, 0, 100, True),
            (100, 100, 164, False),
            (100, 164, 228, True),
            (10, 0, 64, True),
        ],
    )
    def test_multiples_in_the_interval(self, every, before, now, expected):
        assert due(every, before, now) == expected
