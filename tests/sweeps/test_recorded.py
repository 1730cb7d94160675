"""A sweep of an older version goes on with settings that a new command line is refused for."""

from __future__ import annotations

import pytest

from tests.support.cli_stub import Cli
from trpo_cli.commands.hydra.alike import Alike
from trpo_cli.commands.hydra.compose import compose, start_hydra
from trpo_cli.commands.launch import launch
from trpo_cli.commands.multirun.start import check_all_surroundings
from trpo_cli.errors import UserError

UNREAD = (
    ["algo=npg", "algo.step_size=0.5", "env=CartPole-v1", "seed=1"],
    ["policy=mlp", "policy.init_log_std=-1.0", "env=CartPole-v1", "seed=1"],
)


@pytest.mark.parametrize("overrides", UNREAD)
def test_what_was_recorded_is_run(cli: Cli, overrides: list[str]) -> None:
    hydra = start_hydra()
    config, _ = compose(hydra, overrides, recorded=True)
    jobs = [(0, overrides, config)]
    check_all_surroundings(jobs, recorded=True)
    launch(config, "run", ["trpo-run", *overrides])
    assert len(cli.trained) == 1
    with pytest.raises(UserError, match="would change nothing"):
        compose(hydra, overrides)
        check_all_surroundings(jobs)


@pytest.mark.parametrize("overrides", UNREAD)
def test_many_alike_are_composed_once(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    calls = []

    def counted(*args: object, **settings: object) -> object:
        calls.append(args)
        return compose(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("trpo_cli.commands.hydra.alike.compose", counted)
    hydra = start_hydra()
    alike = Alike(hydra, recorded=True)
    jobs = [[*overrides[:-1], f"seed={seed}"] for seed in range(3)]
    found = [alike.compose(job)[0] for job in jobs]
    assert len(calls) == 1
    assert found == [compose(hydra, job, recorded=True)[0] for job in jobs]
