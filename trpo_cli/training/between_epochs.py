"""V fitted between the epochs of an update, and advantages recomputed with it.

    epoch 1, with A and R by V;  V fitted to R for a share of its passes;  A and R by the new V;
    epoch 2;  ...  epoch E;  the rest of V's passes

(Andrychowicz et al. 2021, 2006.05990, section 3.5, which advises it; `recompute_adv` of Tianshou.)
pi_old, its log-probabilities and the samples stay. A V that the rule fits together with the policy
has moved by itself: then A and R are recomputed, and nothing else is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from trpo_cli.data.records import Batch
from trpo_cli.estimators.batch import Estimation
from trpo_cli.system.clock import Clock


class BetweenEpochs:
    """batch: what the rule is given; each of its `refreshed` does what stands between two epochs.

    generators: by their names, for V's minibatches. remaining: share of training still to come.
    """

    def __init__(
        self,
        estimation: Estimation,
        batch: Batch,
        value: Any,
        config: Any,
        generators: Mapping[str, np.random.Generator],
        clock: Clock,
        remaining: float,
    ) -> None:
        self._estimation, self._value, self._clock = estimation, value, clock
        self._generator, self._remaining = generators["value_minibatches"], remaining
        self._epochs, self._passed = config.algo.epochs, 0
        self._passes = config.value.epochs if config.value.traits.by_epochs else 0
        self._made, self._losses = 0, 0.0
        self.batch = dataclasses.replace(batch, refreshed=self._refreshed)

    def _refreshed(self) -> Batch:
        self._passed += 1
        with self._clock("value"):
            self._fit(self._passes * self._passed // self._epochs - self._made)
        with self._clock("estimate"):
            batch = self._estimation.batch()
        self.batch = dataclasses.replace(batch, refreshed=self._refreshed)
        return self.batch

    def _fit(self, epochs: int) -> None:
        """So many of V's passes over the latest returns."""
        if epochs:
            batch = self.batch
            fit = self._value.fit(
                batch.features,
                batch.returns,
                self._generator,
                self._remaining,
                batch.split,
                epochs=epochs,
            )
            self._losses += epochs * fit["value/loss"]
            self._made += epochs

    def finish(self) -> dict[str, float]:
        """The rest of V's passes, after the update; the metrics of all."""
        batch = self.batch
        with self._clock("value"):
            if not self._passes:
                return self._value.fit(
                    batch.features, batch.returns, self._generator, self._remaining, batch.split
                )
            self._fit(self._passes - self._made)
        return {"value/loss": self._losses / self._made}
