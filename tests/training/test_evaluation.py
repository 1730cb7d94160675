import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from tests.support.running import lines
from trpo_cli.commands.evaluate import main
from trpo_cli.config import Config, EnvConfig, config_to_yaml
from trpo_cli.config.settle import settle
from trpo_cli.runs import checkpoint
from trpo_cli.samplers.whole_episodes import STRETCH
from trpo_cli.seeding import stream
from trpo_cli.simulators.base import Step
from trpo_cli.simulators.make import make_simulator
from trpo_cli.training.evaluation import evaluate, evaluation_streams
from trpo_cli.training.identity import identity


class LinearStub:
    """action = observations @ weights + noise; counts what it was asked for."""

    state_size = 0

    def __init__(self, weights: np.ndarray, discrete: bool) -> None:
        self.weights, self.discrete = weights, discrete
        self.noise_shapes: list[tuple[int, ...]] = []

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        self.noise_shapes.append(shape)
        return generator.standard_normal((*shape, 1))

    def act(self, observations: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        assert observations.dtype == np.float32
        # A sum per row, so that a row's result does not depend on how many there are.
        actions = (observations * self.weights).sum(axis=1, keepdims=True)
        return actions if noise is None else actions + noise

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        return (actions[:, 0] > 0).astype(np.int64) if self.discrete else np.clip(actions, -2, 2)


def by_hand(env_id: str, policy: Any, seed: int) -> tuple[float, int]:
    """One deterministic episode over Gymnasium's own environment."""
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=seed)
    total, length, over = 0.0, 0, False
    while not over:
        action = policy.to_env(policy.act(observation[None].astype(np.float32), None))[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        total, length, over = total + float(reward), length + 1, terminated or truncated
    return total, length


class CountdownSimulator:
    """Each episode lasts as long as its seed says and pays 1 a step, -1 as its last reward."""

    observation_space: spaces.Box = spaces.Box(-np.inf, np.inf, (1,))
    action_space: spaces.Space[Any] = spaces.Box(-1, 1, (1,))
    backend, failed_simulations, frame_stack = "stub", 0, 1
    why_not_restorable = why_not_branchable = ""
    action_start = 0
    remarks: Sequence[str] = ()

    def __init__(self, num_envs: int, max_episode_steps: int | None = 1000) -> None:
        self.num_envs, self.max_episode_steps = num_envs, max_episode_steps
        self.left = np.zeros(num_envs, dtype=int)
        self.seeds_seen: list[int] = []

    def _observations(self) -> np.ndarray:
        return self.left[:, None].astype(np.float64)

    def reset(self, ids: Any = None, seed: Any = None) -> np.ndarray:
        self.left[list(range(self.num_envs) if ids is None else ids)] = seed
        self.seeds_seen += seed
        return self._observations()

    def step(self, actions: np.ndarray, ids: Any = None) -> Step:
        self.left -= 1
        ended = np.flatnonzero(self.left == 0)
        rewards = np.where(self.left == 0, -1.0, 1.0)
        final = self._observations()[ended]
        self.left[ended] = 3  # the automatic reset: an episode that no one asked for
        over = np.isin(np.arange(self.num_envs), ended)
        return Step(self._observations(), rewards, over, ~over & False, ended, final)

    def snapshot(self, ids: Any = None, portable: bool = True) -> Any:
        raise NotImplementedError

    def reseed(self, ids: Any, seeds: Any) -> None:
        raise NotImplementedError

    def restore(self, snapshot: Any, ids: Any = None) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        pass


class TestEvaluate:
    @pytest.mark.parametrize("num_envs", [1, 3, 7])
    @pytest.mark.parametrize(
        ("env_id", "weights", "discrete"),
        [("CartPole-v1", [0.1, 0.4, 1.0, 0.6], True), ("Pendulum-v1", [0.0, -3.0, -1.0], False)],
    )
    def test_equals_a_loop_by_hand(self, env_id, weights, discrete, num_envs):
        policy: Any = LinearStub(np.array(weights, dtype=np.float32), discrete)
        seeds = [3, 1, 4, 15, 92, 65, 35]
        expected = [by_hand(env_id, policy, seed) for seed in seeds]
        simulator = make_simulator(EnvConfig(env_id), num_envs, 1)
        result = evaluate(policy, simulator, 7, True, seeds, np.random.default_rng(0))
        simulator.close()
        assert result.returns == [total for total, _ in expected]
        assert result.lengths == [length for _, length in expected]
        assert result.seeds == seeds and result.deterministic and result.capped == 0

    @pytest.mark.parametrize("num_envs", [1, 2, 5])
    def test_short_episodes_do_not_crowd_out_long_ones(self, num_envs):
        """The first 5 to finish would be the short ones; the 5 numbered ones are what counts."""
        seeds = [50, 2, 60, 2, 2]
        simulator = CountdownSimulator(num_envs)
        policy: Any = LinearStub(np.ones(1), False)
        result = evaluate(policy, simulator, 5, True, seeds, np.random.default_rng(0))
        assert result.lengths == seeds
        assert result.returns == [seed - 2.0 for seed in seeds]
        assert sorted(simulator.seeds_seen) == sorted(seeds)  # each started exactly once

    def test_mean_and_deviation(self):
        simulator = CountdownSimulator(2)
        policy: Any = LinearStub(np.ones(1), False)
        result = evaluate(policy, simulator, 2, True, [3, 7], np.random.default_rng(0))
        record = result.record(step=512)
        # returns 1 and 5
        assert (record["return_mean"], record["return_std"]) == (3.0, 2.0)
        assert record["step"] == 512 and record["episodes"] == 2
        assert record["lengths"] == [3, 7] and record["seeds"] == [3, 7]

    def test_an_episode_without_a_limit_is_cut_and_counted(self):
        simulator = CountdownSimulator(2, max_episode_steps=None)
        policy: Any = LinearStub(np.ones(1), False)
        seeds = [100, 4, 10, 3]
        result = evaluate(policy, simulator, 4, True, seeds, np.random.default_rng(0), max_steps=10)
        assert result.lengths == [10, 4, 10, 3]
        assert result.returns == [10.0, 2.0, 8.0, 1.0]
        assert result.capped == 1  # the one of exactly 10 steps ended by itself

    def test_a_limit_of_the_environment_is_not_shortened(self):
        simulator = CountdownSimulator(1)
        policy: Any = LinearStub(np.ones(1), False)
        result = evaluate(policy, simulator, 1, True, [50], np.random.default_rng(0), max_steps=10)
        assert result.lengths == [50] and result.capped == 0

    def test_noise_is_drawn_for_sampled_actions_only(self):
        for deterministic, shapes in ((True, []), (False, [(STRETCH,)] * 2)):
            policy: Any = LinearStub(np.ones(1), False)
            generator = np.random.default_rng(0)
            evaluate(policy, CountdownSimulator(2), 2, deterministic, [5, 3], generator)
            assert policy.noise_shapes == shapes

    def test_same_streams_same_result(self):
        policy: Any = LinearStub(np.array([0.1, 0.4, 1.0, 0.6]), True)
        results = []
        for seed in (1, 1, 2):
            seeds, generator = evaluation_streams(seed, 4)
            simulator = make_simulator(EnvConfig("CartPole-v1"), 2, 1)
            results.append(evaluate(policy, simulator, 4, False, seeds, generator))
        assert results[0] == results[1] != results[2]

    def test_more_environments_than_episodes(self):
        policy: Any = LinearStub(np.ones(1), False)
        with pytest.raises(ValueError, match="3 environments"):
            evaluate(policy, CountdownSimulator(3), 2, True, [1, 2], np.random.default_rng(0))
        with pytest.raises(ValueError, match="1 seeds"):
            evaluate(policy, CountdownSimulator(1), 2, True, [1], np.random.default_rng(0))


@pytest.fixture
def run_dir(tmp_path):
    """A run directory as a training run of CartPole leaves it, policy untrained."""
    config = settle(Config(seed=5, env=EnvConfig("CartPole-v1")), images=False)
    folder = tmp_path / "run"
    folder.mkdir()
    env = gymnasium.make("CartPole-v1")
    space: Any = env.observation_space
    policy = config.policy.build(space, env.action_space, stream(5, "policy_init"))
    policy.normalizer.update(np.random.default_rng(0).normal(size=(100, 4)))
    store(folder, config, policy)
    return SimpleNamespace(path=folder, policy=policy, config=config)


def store(folder, config, policy):
    """A policy's checkpoint in the directory of a run with this configuration."""
    (folder / "config.yaml").write_text(config_to_yaml(config))
    tensors = {f"policy/{name}": tensor for name, tensor in policy.state().items()}
    belongs_to = identity(config, make_simulator(config.env, 1, 1))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    state = {"step": 1000, "belongs_to": belongs_to}
    checkpoint.save(checkpoint.path(folder, 1000), tensors, state)
    checkpoint.point(folder, "last", 1000)


class TestCommand:
    def test_both_kinds_are_printed_and_stored(self, run_dir, capsys):
        assert main([str(run_dir.path), "--episodes", "3"]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == 2
        assert "deterministic" in printed[0] and "sampled" in printed[1]
        stored = lines(run_dir.path / "eval.jsonl")
        assert [record["deterministic"] for record in stored] == [True, False]
        assert all(record["step"] == 1000 and record["episodes"] == 3 for record in stored)
        assert all(len(record["returns"]) == 3 for record in stored)

    def test_it_is_the_stored_policy_normaliser_included(self, run_dir, capsys):
        """Without the normaliser's statistics the returns would be others (checked below)."""
        main([str(run_dir.path), "--episodes", "4", "--deterministic", "--json"])
        record = json.loads(capsys.readouterr().out)
        expected = [by_hand("CartPole-v1", run_dir.policy, seed)[0] for seed in record["seeds"]]
        assert record["returns"] == expected
        assert record["seeds"] == evaluation_streams(5, 4)[0]

    def test_seed_and_repetition(self, run_dir):
        for arguments in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"]):
            main([str(run_dir.path), "--episodes", "2", "--sampled", *arguments])
        first, again, other = lines(run_dir.path / "eval.jsonl")
        assert first == again != other

    def test_training_files_are_left_alone(self, run_dir):
        def contents() -> dict[Path, bytes]:
            files = (p for p in run_dir.path.rglob("*") if p.is_file())
            return {p: p.read_bytes() for p in files if p.name != "eval.jsonl"}

        before = contents()
        main([str(run_dir.path), "--episodes", "1"])
        assert contents() == before

    def test_a_run_that_cannot_be_written_to_is_evaluated_all_the_same(
        self, run_dir, capsys, monkeypatch
    ):
        def refuse(*args):  # permissions are nothing to root
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr("trpo_cli.runs.logger.append_row", refuse)
        assert main([str(run_dir.path), "--episodes", "1"]) == 0
        captured = capsys.readouterr()
        assert captured.out.count("return ") == 2
        assert captured.err.startswith("warning: ") and "cannot be written" in captured.err

    def test_no_time_limit_is_said(self, run_dir, capsys):
        (run_dir.path.parent / "endless_env.py").write_text(ENDLESS)
        sys.path.insert(0, str(run_dir.path.parent))
        try:
            env = EnvConfig("endless_env:Endless-v0")
            store(run_dir.path, replace(run_dir.config, env=env), run_dir.policy)
            assert main([str(run_dir.path), "--episodes", "2", "--max-steps", "7", "--trust"]) == 0
        finally:
            sys.path.remove(str(run_dir.path.parent))
        assert "2 of 2 episodes were cut after 7 steps" in capsys.readouterr().out
        assert lines(run_dir.path / "eval.jsonl")[0]["lengths"] == [7, 7]


ENDLESS = """
import gymnasium
import numpy as np
from gymnasium import spaces

class Endless(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (4,), np.float32)
    action_space = spaces.Discrete(2)
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(4, np.float32), {}
    def step(self, action):
        return np.zeros(4, np.float32), 1.0, False, False, {}

gymnasium.register("Endless-v0", Endless)
"""


class TestErrors:
    def refused(self, capsys, arguments, *words, status=2):
        assert main([str(argument) for argument in arguments]) == status
        error = capsys.readouterr().err
        assert error.startswith("trpo-eval: ") and error.count("\n") == 1
        for word in words:
            assert word in error

    def test_arguments(self, capsys):
        self.refused(capsys, [], "RUN_DIR")
        self.refused(capsys, ["x", "--episodes", "0"], "--episodes", "0")
        self.refused(capsys, ["x", "--seed", "-1"], "--seed")
        self.refused(capsys, ["x", "--sampled", "--deterministic"], "not allowed with")
        self.refused(capsys, ["x", "--wrong"], "--wrong", "--help")

    def test_no_such_folder(self, capsys, tmp_path):
        self.refused(capsys, [tmp_path / "nothing"], "nothing does not exist")

    def test_not_a_run_directory(self, capsys, tmp_path):
        self.refused(capsys, [tmp_path], "not a run directory", "config.yaml")

    def test_a_file(self, capsys, run_dir):
        self.refused(capsys, [run_dir.path / "config.yaml"], "is a file")

    def test_no_checkpoint_yet(self, capsys, run_dir):
        (run_dir.path / "checkpoints").rename(run_dir.path / "elsewhere")
        self.refused(capsys, [run_dir.path], "no checkpoint yet")

    def test_another_checkpoint(self, capsys, run_dir):
        self.refused(capsys, [run_dir.path, "--checkpoint", "step_5"], "step_5", "step_1000")
        self.refused(capsys, [run_dir.path, "--checkpoint", "newest"], "newest", "step_<n>")

    def test_a_damaged_checkpoint(self, capsys, run_dir):
        (run_dir.path / "checkpoints" / "last" / "state.json").write_text("{}")
        self.refused(capsys, [run_dir.path, "--checkpoint", "step_1000"], "state.json")

    def test_a_configuration_of_another_network(self, capsys, run_dir):
        other = replace(run_dir.config.policy, hidden_sizes=[32, 32])
        store(run_dir.path, replace(run_dir.config, policy=other), run_dir.policy)
        self.refused(capsys, [run_dir.path], "does not fit")

    def test_a_checkpoint_of_nobody(self, capsys, run_dir):
        tensors, state = checkpoint.load(checkpoint.latest(run_dir.path))
        del state["belongs_to"]
        shutil.rmtree(run_dir.path / "checkpoints")
        checkpoint.save(checkpoint.path(run_dir.path, 1000), tensors, state)
        checkpoint.point(run_dir.path, "last", 1000)
        self.refused(capsys, [run_dir.path], "belongs to another run", "Was config.yaml changed?")

    def test_a_broken_configuration(self, capsys, run_dir):
        (run_dir.path / "config.yaml").write_bytes(b"\xff\xfe{")
        self.refused(capsys, [run_dir.path], "config.yaml")

    def test_nothing_runs_when_one_of_several_is_wrong(self, capsys, run_dir, tmp_path):
        self.refused(capsys, [run_dir.path, tmp_path / "nothing"], "nothing")
        assert not (run_dir.path / "eval.jsonl").exists()

    def test_an_environment_that_crashes(self, capsys, run_dir, monkeypatch):
        def crash(*_args: object, **_kwargs: object) -> None:
            raise RuntimeError("the simulator\nbroke")

        monkeypatch.setattr("trpo_cli.training.evaluation.evaluate", crash)
        self.refused(capsys, [run_dir.path], "RuntimeError: the simulator broke", status=3)

    def test_errors_do_not_pay_for_torch(self, run_dir):
        code = (
            "import sys; from trpo_cli.commands.evaluate import main; "
            f"status = main([{str(run_dir.path)!r}, '--checkpoint', 'step_5']); "
            "sys.exit(status != 2 or bool({'torch', 'gymnasium', 'mujoco'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0
