"""``trpo-run --restorable``: both uses, tried out, with the reason where it does not hold."""

import pytest

from tests.support import hidden_state_envs  # noqa: F401  (registers them)
from trpo_cli.commands.restorable import restorable


@pytest.mark.parametrize("env", ["CartPole-v1", "HalfCheetah-v4", "Ant-v5", "Hidden/Walk-v0"])
def test_exact(env: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert restorable([f"env={env}"], None) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split() for line in out] == [["yes", "resume"], ["yes", "vine"]]


def test_a_game(capsys: pytest.CaptureFixture[str]) -> None:
    assert restorable(["env=ALE/Pong-v5", "algo=trpo"], None) == 0


def test_not_exact_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert restorable(["env=Hidden/GlobalPython-v0"], None) == 3
    out = capsys.readouterr().out.splitlines()
    assert all(line.startswith("no") for line in out)
    assert all("global random generator" in line for line in out)


def test_what_changes_later_is_found_by_trying(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulator that claims exactness and forgets something in its snapshots."""
    from trpo_cli.simulators.mujoco.simulator import MujocoSimulator

    honest = MujocoSimulator.snapshot

    def forgetful(self, ids=None, portable=True):
        snapshot = honest(self, ids, portable)
        snapshot.arrays["state"][:, 3] += 1e-9
        return snapshot

    monkeypatch.setattr(MujocoSimulator, "snapshot", forgetful)
    assert restorable(["env=HalfCheetah-v4"], None) == 3
    assert "differed" in capsys.readouterr().out
