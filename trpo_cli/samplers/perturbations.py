"""Whole episodes of perturbed policies, all side by side (evolution strategies).

    perturbations   M directions e ~ N(0, I) in the network's parameters, and their opposites
    policies        theta + sigma e and theta - sigma e, each without noise in its actions
    episodes        E of each from the start, or their first T steps

A pair shares the seeds of its episodes: what the environment draws is the same for both as long as
they act alike, so that more of the difference comes from the parameters. Nothing goes on from one
iteration to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from trpo_cli.components import SamplerTraits, component
from trpo_cli.data.records import Evaluations
from trpo_cli.distributed.split import WHOLE, Split
from trpo_cli.errors import UserError
from trpo_cli.samplers.base import World
from trpo_cli.samplers.compiled import Crew, can_be_compiled, make_actor, make_record, play_out
from trpo_cli.settings import setting

if TYPE_CHECKING:
    from trpo_cli.models.policy import Policy
    from trpo_cli.models.value import StateValue
    from trpo_cli.simulators.base import Simulator
    from trpo_cli.simulators.mujoco.rollouts import Work

Played = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Returns, scores and lengths of all episodes, (N,) each, and all that was seen, (S, *obs)."""


@component("sampler")
@dataclass
class PerturbationsConfig:
    """Whole episodes of pairs of perturbed policies side by side, for algo=es."""

    traits: ClassVar = SamplerTraits("evaluations")

    num_envs: int = setting(
        help="environments stepped together: two for each direction and episode", low=2
    )
    steps_per_env: int = setting(help="steps after which an episode is cut", low=1)
    episodes: int = setting(help="episodes of each perturbed policy, averaged", low=1)

    def build(self, config: Any, world: World) -> tuple[PerturbationSampler, Split]:
        from trpo_cli.simulators.make import make_simulator

        simulator = make_simulator(config.env, self.num_envs, world.threads)
        built = PerturbationSampler(
            simulator, self, config.algo.sigma, config.discount, world.threads
        )
        return built, WHOLE

    def check_world(self, config: Any, simulator: Simulator) -> None:
        check_perturbations(config)


class PerturbationSampler:
    """Scores 2 M policies by one wide batch of simulations, N = 2 M E environments."""

    why_not_restorable = ""
    """Every iteration begins new episodes: there is never one to be saved."""

    def __init__(
        self,
        simulator: Simulator,
        config: PerturbationsConfig,
        sigma: float,
        discount: float,
        threads: int = 1,
    ) -> None:
        self.simulators = [simulator]
        self._steps, self._episodes = config.steps_per_env, config.episodes
        self._pairs = pairs(config)
        self._sigma, self._discount = sigma, discount
        self._threads = threads
        self._crew: Crew | None = None

    def collect(
        self,
        policy: Policy,
        generator: np.random.Generator,
        value: StateValue | None,
        branching: np.random.Generator,
    ) -> Evaluations:
        """One iteration's experience. generator: the directions; branching: the episodes' seeds."""
        simulator = self.simulators[0]
        size = policy.network.num_parameters
        noise = generator.standard_normal((self._pairs, size), dtype=np.float32)
        steps = np.concatenate([noise, -noise]) * np.float32(self._sigma)
        parameters = policy.parameters[:size] + steps
        failed = simulator.failed_simulations
        drawn = branching.integers(2**31, size=(self._pairs, self._episodes))
        observations = simulator.reset(seed=np.tile(drawn.reshape(-1), 2).tolist())
        run = self._play if can_be_compiled(policy, simulator) else self._step
        returns, scores, lengths, seen = run(policy, parameters, observations)
        return Evaluations(
            noise=noise,
            scores=scores.reshape(2, self._pairs, self._episodes).mean(axis=2),
            observations=seen,
            episode_returns=returns.tolist(),
            episode_lengths=lengths.tolist(),
            failed_simulations=simulator.failed_simulations - failed,
        )

    def _step(self, policy: Policy, parameters: np.ndarray, observations: np.ndarray) -> Played:
        """All side by side, by way of the simulator's own method."""
        simulator, count = self.simulators[0], self.simulators[0].num_envs
        act = policy.variants(parameters)
        returns, scores, lengths = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
        alive, weight = np.arange(count), 1.0
        seen: list[np.ndarray] = []
        while len(alive) and len(seen) < self._steps:
            current = np.asarray(observations, dtype=np.float32)
            seen.append(current[alive])
            actions = policy.to_env(act(current))
            step = simulator.step(actions, alive if len(alive) < count else None)
            rewards = step.rewards[alive]
            returns[alive] += rewards
            scores[alive] += weight * rewards
            lengths[alive] += 1
            weight *= self._discount
            over = step.terminated | step.truncated
            alive = alive[~over[alive]]
            observations = step.observations
        return returns, scores, lengths, np.concatenate(seen)

    def _play(self, policy: Policy, parameters: np.ndarray, observations: np.ndarray) -> Played:
        """One policy after the other, in compiled loops."""
        simulator: Any = self.simulators[0]
        count = simulator.num_envs
        if self._crew is None:
            self._crew = Crew(simulator, policy, self._threads)
        returns, lengths = np.zeros(count), np.zeros(count, dtype=np.int64)
        record = make_record(simulator, self._steps, returns, lengths)
        nothing = np.zeros((1, 1, 1), dtype=np.float32)

        def do(task: tuple[int, np.ndarray], places: np.ndarray, work: Work) -> None:
            number, rows = task
            actor = make_actor(policy, sampled=False, parameters=parameters[number])
            play_out(
                simulator, simulator.simulations, rows + number * self._episodes, 0, actor,
                nothing, record, self._steps, places, work,
            )  # fmt: skip

        blocks = self._crew.blocks(self._episodes)
        self._crew.share([(k, rows) for k in range(len(parameters)) for rows in blocks], do)
        simulator.failed_simulations += int(record.failed.sum())
        lived = np.arange(self._steps)[:, None] < lengths
        scores = returns
        if self._discount != 1.0:
            weights = np.power(self._discount, np.arange(self._steps))[:, None]
            scores = np.where(lived, weights * record.rewards, 0.0).sum(axis=0)
        return returns, scores, lengths, record.observations[lived]

    def metrics(self, records: Evaluations) -> dict[str, Any]:
        return {}

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """No episode is in progress, in the form that `episodes` gives those that are."""
        nothing = np.zeros(0)
        return {"returns": nothing, "lengths": nothing}, {"simulators": []}

    def load_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> str:
        return ""

    def restart(self, generator: np.random.Generator) -> None:
        """Nothing is in progress."""

    def close(self) -> None:
        if self._crew is not None:
            self._crew.shutdown()
        self.simulators[0].close()


def pairs(config: PerturbationsConfig) -> int:
    """M."""
    return config.num_envs // (2 * config.episodes)


def check_perturbations(config: Any) -> None:
    """Raise `UserError` unless the environments divide into pairs and the policy is an MLP
    on the CPU, whose variants run side by side. config: with every `auto` decided."""
    sampler = config.sampler
    if pairs(sampler) * 2 * sampler.episodes != sampler.num_envs or not pairs(sampler):
        raise UserError(
            f"sampler.num_envs={sampler.num_envs} cannot be divided: sampler=perturbations takes "
            f"two environments for each direction and each of its {sampler.episodes} episodes. "
            f"Try a multiple of {2 * sampler.episodes}."
        )
    if not config.policy.traits.closed_form:
        raise UserError(
            f"policy={config.policy.name} cannot be used with algo={config.algo.name}, which runs "
            "many perturbed networks side by side and can do so with MLPs. Try policy=mlp."
        )
    if config.device == "cuda":
        raise UserError(
            f"device=cuda cannot be used with algo={config.algo.name}: its perturbed networks run "
            "on the CPU. Try device=cpu."
        )
