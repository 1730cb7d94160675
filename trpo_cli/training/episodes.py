"""The training episodes that ended in an iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trpo_cli.data.records import Evaluations, Trajectories


@dataclass(frozen=True)
class EndedEpisodes:
    """Raw returns and lengths, in the order (step, environment) of their ends.

    failed_simulations: how many of them ended because their simulation failed.
    """

    order: list[tuple[int, int]]
    returns: list[float]
    lengths: list[int]
    failed_simulations: int

    @staticmethod
    def in_(records: Trajectories | Evaluations) -> EndedEpisodes:
        """Those of this process."""
        order = []
        if isinstance(records, Trajectories):
            first = records.first_env
            order = [(t, first + n) for t, n in records.ends.tolist()]
        return EndedEpisodes(
            order, records.episode_returns, records.episode_lengths, records.failed_simulations
        )

    @staticmethod
    def of(parts: list[EndedEpisodes]) -> EndedEpisodes:
        """Those of all processes."""
        if len(parts) == 1:
            return parts[0]
        every = [e for p in parts for e in zip(p.order, p.returns, p.lengths, strict=True)]
        every.sort(key=lambda episode: episode[0])
        return EndedEpisodes(
            [order for order, _, _ in every],
            [paid for _, paid, _ in every],
            [length for _, _, length in every],
            sum(part.failed_simulations for part in parts),
        )

    def metrics(self) -> dict[str, float | None]:
        returns, lengths = self.returns, self.lengths
        return {
            "train/return_mean": float(np.mean(returns)) if returns else None,
            "train/return_std": float(np.std(returns)) if returns else None,
            "train/length_mean": float(np.mean(lengths)) if lengths else None,
            "train/episodes": len(returns),
            "train/failed_simulations": self.failed_simulations,
        }
