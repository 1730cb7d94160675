"""`algo.recompute_advantages`: V is fitted between the epochs of an update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support import running
from trpo_cli.algos.epochs import MinibatchAscent
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.estimators.batch import Estimation
from trpo_cli.models.value import Value
from trpo_cli.training.trainer import Training

EPOCHS, PASSES = 3, 7


def training(**changes: Any) -> Training:
    own = {"algo.epochs": EPOCHS, "value.epochs": PASSES, "algo.minibatch_size": 32, **changes}
    found = running.settings("ppo", "Pendulum-v1", **{"algo.recompute_advantages": "true", **own})
    return Training(config_of(*found))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What happened in turn: an estimate, an epoch with its advantages, passes of V."""
    happened: list[tuple[str, Any]] = []
    batch, run, fit = Estimation.batch, MinibatchAscent.run, Value.fit

    def estimated(self: Any) -> Any:
        found = batch(self)
        happened.append(("estimate", (self._value.parameters.copy(), found.advantages)))
        return found

    def ran(self: Any, epochs: int, *rest: Any) -> Any:
        happened.append(("run", (epochs, self._batch.advantages)))
        return run(self, epochs, *rest)

    def fitted(self: Any, *args: Any, **settings: Any) -> Any:
        found = fit(self, *args, **settings)
        happened.append(("fit", (settings["epochs"], self.parameters.copy())))
        return found

    monkeypatch.setattr(Estimation, "batch", estimated)
    monkeypatch.setattr(MinibatchAscent, "run", ran)
    monkeypatch.setattr(Value, "fit", fitted)
    return happened


class TestBetweenEpochs:
    def test_v_is_fitted_then_everything_estimated_anew(self, told: list[Any]) -> None:
        row = training(**{"algo.target_kl": "null"}).iterate()
        kinds = [kind for kind, _ in told]
        assert kinds == ["estimate", *["run", "fit", "estimate"] * (EPOCHS - 1), "run", "fit"]
        estimates, runs, fits = ([x for k, x in told if k == kind] for kind in
                                 ("estimate", "run", "fit"))  # fmt: skip
        # 7 passes over three epochs: 7 // 3, then 14 // 3, then all.
        assert [epochs for epochs, _ in fits] == [2, 2, 3]
        for (_, after), (parameters, advantages) in zip(fits, estimates[1:], strict=False):
            np.testing.assert_array_equal(after, parameters)
            assert abs(advantages - estimates[0][1]).max() > 1e-3
        for (epochs, used), (_, advantages) in zip(runs, estimates, strict=True):
            assert epochs == 1
            np.testing.assert_array_equal(used, advantages)
        assert row["policy/epochs"] == EPOCHS and row["value/loss"] > 0.0
        assert min(row[key] for key in row if key.startswith("time/")) >= 0.0

    def test_v_has_all_its_passes_where_the_epochs_end_early(self, told: list[Any]) -> None:
        row = training(**{"algo.target_kl": 1e-9}).iterate()
        assert row["policy/epochs"] < EPOCHS
        assert sum(x[0] for kind, x in told if kind == "fit") == PASSES

    def test_where_v_stays_nothing_changes(self) -> None:
        still = {"value.learning_rate": 1e-30, "value.normalize_targets": "false"}
        ended = []
        for wanted in ("false", "true"):
            made = training(**{**still, "algo.recompute_advantages": wanted})
            made.iterate()
            ended.append(made.policy.parameters.tobytes())
        assert ended[0] == ended[1]
