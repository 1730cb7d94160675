"""Evaluation: whole episodes, fixed beforehand, under a policy that does not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from trpo_cli.data.states import part
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.runs.directory import CONFIG
from trpo_cli.system.clock import due

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.config import Config
    from trpo_cli.models.policy import Policy
    from trpo_cli.samplers.whole_episodes import Watched
    from trpo_cli.simulators.base import Simulator

Told = Callable[[int, int], None]
"""What hears how far an evaluation is: episodes that have ended, steps done."""
MAX_ENVS = 16
MAX_STEPS = 10_000
"""Where an episode is cut in an environment that has no time limit of its own."""


@dataclass(frozen=True)
class EvalResult:
    """What E episodes gave, in the order of their seeds.

    returns: undiscounted sums of the rewards as the environment paid them. lengths: in steps.
    capped: how many episodes were cut by the evaluation, for want of a time limit.
    """

    returns: list[float]
    lengths: list[int]
    seeds: list[int]
    deterministic: bool
    capped: int

    @property
    def mean(self) -> float:
        import numpy as np

        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of these returns (divided by E, not E - 1)."""
        import numpy as np

        return float(np.std(self.returns))

    def record(self, step: int) -> dict[str, Any]:
        """The line of eval.jsonl for the policy after `step` environment steps."""
        return {
            "step": step,
            "deterministic": self.deterministic,
            "episodes": len(self.returns),
            "return_mean": self.mean,
            "return_std": self.std,
            "returns": self.returns,
            "seeds": self.seeds,
            "lengths": self.lengths,
        }


class Abandoned(Exception):
    """An evaluation was not finished because the programme is to stop."""


def evaluate(
    policy: Policy,
    simulator: Simulator,
    episodes: int,
    deterministic: bool,
    seeds: Sequence[int],
    generator: np.random.Generator,
    max_steps: int = MAX_STEPS,
    abandon: Callable[[], bool] = lambda: False,
    told: Told = lambda ended, steps: None,
    watched: Watched | None = None,
) -> EvalResult:
    """Run exactly `episodes` episodes, number k started with `seeds[k]`, each to its end.

    Which episodes count never depends on how soon they end: the first E to finish would favour
    short ones. Neither the number of environments nor that of threads changes any of them, but
    for the rounding of a matrix product of other many rows.

    policy: its `act` gets raw observations (N, *obs) float32. simulator: N environments, at most
    `episodes`; its episodes in progress are given up. generator: has a child for the noise of
    each episode's sampled actions.
    max_steps: the length at which an episode is cut where the simulator has no time limit.
    abandon: asked now and then; once it says yes, `Abandoned` is raised.
    told: called as often with the number of episodes that have ended, and of steps.
    watched: gets the actions of the first episodes.
    Raises `RunFailed` for a return that is not finite.
    """
    import numpy as np  # not before a command has set the number of its threads

    from trpo_cli.samplers.whole_episodes import run_episodes

    n = simulator.num_envs
    if not 1 <= n <= episodes or len(seeds) != episodes:
        raise ValueError(f"{n} environments and {len(seeds)} seeds for {episodes} episodes")
    lock, sums = Lock(), [0, 0]

    def each(ended: int, steps: int) -> None:
        with lock:
            if abandon():
                raise Abandoned
            sums[0], sums[1] = sums[0] + ended, sums[1] + steps
            told(*sums)

    returns, lengths, cut = run_episodes(
        policy,
        simulator,
        seeds,
        None if deterministic else generator.spawn(episodes),
        max_steps if simulator.max_episode_steps is None else None,
        each,
        watched,
    )
    for number, paid in enumerate(returns.tolist()):
        if not np.isfinite(paid):
            raise RunFailed(
                f"episode {number} of the evaluation (seed {seeds[number]}) has a return of "
                f"{paid}: the environment paid a reward that is not finite.",
                facts={"what": "return", "seed": int(seeds[number])},
            )
    return EvalResult(
        returns.tolist(), lengths.tolist(), list(seeds), deterministic, int(cut.sum())
    )


def evaluation_streams(
    seed: int, episodes: int, name: str = "evaluation"
) -> tuple[list[int], np.random.Generator]:
    """Seeds of the episodes and the generator of their action noise, from a root seed.

    The same for every evaluation of a run, so that two of them differ by their policies only.
    """
    from trpo_cli.seeding import stream

    generator = stream(seed, name)
    return [int(word) for word in generator.integers(2**31, size=episodes)], generator


class Evaluator:
    """Evaluates a policy in training, on simulators and seeds of its own: training never notices.

    Every call runs the same episodes with the same noise, so that two of them differ by their
    policies only. `last` is the newest record among those of training, `best` the step and the
    mean return of the best one, `rows` their number.
    """

    def __init__(self, config: Config, threads: int) -> None:
        self._config, self._threads = config, threads
        self._simulators: list[Simulator] = []
        self._done = self.rows = 0  # _done: the step up to which every evaluation has been made
        self.last: dict[str, Any] | None = None
        self.best: dict[str, Any] | None = None

    def due(self, step: int) -> bool:
        """Whether training should be evaluated now."""
        config = self._config.eval
        return config.episodes != 0 and due(config.every, self._done, step)

    def run(
        self,
        policy: Policy,
        step: int,
        stream: str = "evaluation",
        abandon: Callable[[], bool] = lambda: False,
        told: Told = lambda ended, steps: None,
        watched: Watched | None = None,
    ) -> dict[str, Any]:
        """One record of eval.jsonl; raises `Abandoned` once `abandon` says yes.

        watched: gets the actions of the first episodes.
        """
        config = self._config
        assert config.seed is not None and config.eval.episodes is not None
        seeds, generator = evaluation_streams(config.seed, config.eval.episodes, stream)
        result = evaluate(
            policy,
            self.simulator,
            config.eval.episodes,
            config.eval.deterministic,
            seeds,
            generator,
            abandon=abandon,
            told=told,
            watched=watched,
        )
        return result.record(step)

    def run_best(self, checkpoint: Path, abandon: Callable[[], bool], told: Told) -> dict[str, Any]:
        """The record of the best checkpoint on fresh seeds: those that chose it flatter it."""
        assert self.best is not None
        policy = load_policy(checkpoint, self._config, self.simulator)
        record = self.run(policy, self.best["step"], "best_evaluation", abandon, told)
        return {**record, "checkpoint": "best"}

    @property
    def simulator(self) -> Simulator:
        if not self._simulators:
            from trpo_cli.simulators.make import make_simulator

            envs = min(self._config.eval.episodes or 0, MAX_ENVS)
            self._simulators = [make_simulator(self._config.env, envs, self._threads)]
        return self._simulators[0]

    def note(self, record: dict[str, Any]) -> bool:
        """Keep a record of training in mind; returns whether it is the best so far."""
        self._done, self.last, self.rows = record["step"], record, self.rows + 1
        if self.best is not None and not record["return_mean"] > self.best["return_mean"]:
            return False
        self.best = {"step": record["step"], "return_mean": record["return_mean"]}
        return True

    def state(self) -> dict[str, Any]:
        return {
            "every": self._config.eval.every,
            "done": self._done,
            "rows": self.rows,
            "last": self.last,
            "best": self.best,
        }

    def load_state(self, state: dict[str, Any], step: int) -> None:
        """Go on at environment step `step`; a new interval between evaluations begins there."""
        self._done = state["done"] if state["every"] == self._config.eval.every else step
        self.rows, self.last, self.best = state["rows"], state["last"], state["best"]

    def close(self) -> None:
        for simulator in self._simulators:
            simulator.close()


def load_policy(folder: Path, config: Config, simulator: Simulator) -> Policy:
    """The policy in a checkpoint folder, for the environments of a simulator.

    Raises `UserError` when the checkpoint is damaged or does not fit the configuration.
    """
    from trpo_cli.runs.checkpoint import load
    from trpo_cli.seeding import stream
    from trpo_cli.training.build import build_policy
    from trpo_cli.training.identity import check_identity, identity

    tensors, state = load(folder)
    try:
        check_identity(state.get("belongs_to", {}), identity(config, simulator))
    except UserError as error:
        raise UserError(f"{folder}: {error} Was {CONFIG} changed?") from error
    # The first parameters are overwritten.
    policy = build_policy(config, simulator, stream(0, "policy_init"))
    state = part(tensors, "policy")
    try:
        policy.load_state(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(
            f"The checkpoint {folder} does not fit its run's {CONFIG}: {error}."
        ) from error
    return policy
