"""scripts/bench.py: how things are measured and compared, and what is said of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench
from benchmark import ceilings, others, ours
from benchmark.pairs import Comparison, compare, in_turn
from benchmark.report import Result, Row, summary, table
from benchmark.worker import WARM_UP, Failed, Lap, Worker
from tests.support import measured

ROOT = Path(__file__).parents[2]


class Machine:
    """Things to measure on a machine that slows down: its speed falls by one each time."""

    def __init__(self) -> None:
        self.speed, self.asked = 100, list[str]()

    def thing(self, name: str, rate: int) -> Machine.Thing:
        return Machine.Thing(self, name, rate)

    class Thing:
        def __init__(self, machine: Machine, name: str, rate: int) -> None:
            self.machine, self.name, self.rate = machine, name, rate

        def measure(self, seconds: float) -> Lap:
            self.machine.asked.append(self.name)
            self.machine.speed -= 1
            return Lap(self.rate * self.machine.speed, seconds)


class TestPairs:
    def test_ratios_are_those_of_each_pair(self) -> None:
        """Rates 10, 20, 60 and 20, 20, 40: no ratio of medians or means is 1."""
        laps = [Lap(20, 2.0, {"a": 1.0}), Lap(20, 1.0, {"a": 0.5}), Lap(60, 1.0, {"a": 0.75})]
        found = compare(laps, [Lap(20, 1.0), Lap(40, 2.0), Lap(40, 1.0)])
        assert found.ratios == [0.5, 1.0, 1.5]
        assert (found.ratio, found.rate, found.other_rate) == (1.0, 20.0, 20.0)
        assert found.milliseconds == {"a": 1024e3 * 2.25 / 100}
        assert str(found) == "1.00 [0.50, 1.50]"

    def test_the_order_changes_so_that_drift_favours_neither(self) -> None:
        machine = Machine()
        found = in_turn(machine.thing("ours", 1), machine.thing("ceiling", 2), 4, 1.0)
        assert machine.asked == ["ours", "ceiling", "ceiling", "ours"] * 2
        assert found.ratios == [0.5 * 99 / 98, 0.5 * 96 / 97, 0.5 * 95 / 94, 0.5 * 92 / 93]
        assert found.ratio == pytest.approx(0.5, rel=1e-3)  # each pair is off by 1%


class TestWorker:
    def test_whole_pieces_until_the_time_is_up(self) -> None:
        """After the warm-up come calls 3 and 4 in one second, 5 and 6 in 0.6 seconds."""
        assert WARM_UP == 2
        with Worker(measured.counting, 1) as worker:
            assert worker.measure(1.0) == Lap(3 + 4, 1.0, {"cores": 1 + 1})
            assert worker.measure(0.6) == Lap(5 + 6, 1.0, {"cores": 1 + 1})

    def test_all_cores(self) -> None:
        cores = len(os.sched_getaffinity(0))
        with Worker(measured.counting, cores) as worker:
            assert worker.measure(0.5) == Lap(3, 0.5, {"cores": cores})

    def test_what_cannot_be_made(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(Failed, match=r"^ValueError: no such thing$"):
            Worker(measured.refusing, 1, reason="no such thing")
        assert "in refusing" in capfd.readouterr().err  # the whole traceback

    def test_a_process_that_dies(self) -> None:
        with pytest.raises(Failed, match="exit status 7"):
            Worker(measured.dying, 1)

    def test_a_failure_later(self, capfd: pytest.CaptureFixture[str]) -> None:
        with Worker(measured.failing_later, 1) as worker:
            assert worker.measure(1.0).rate == 1.0
            with pytest.raises(Failed, match=r"^RuntimeError: worn out$"):
                worker.measure(1.0)
        assert capfd.readouterr().out == ""  # what the thing prints is no figure


class TestCeilings:
    def test_the_compiled_loop_steps_like_mujoco(self) -> None:
        """Two simulations, started again after `EPISODE` control steps of three physics steps."""
        import gymnasium
        import mujoco
        import numpy as np

        model: Any = gymnasium.make("InvertedPendulum-v4").unwrapped.model  # type: ignore[attr-defined]
        simulations = [mujoco.MjData(model) for _ in range(2)]
        start = ceilings.state_of(model, simulations[0])
        controls = np.random.default_rng(0).uniform(-3, 3, (2, ceilings.EPISODE + 8, model.nu))
        addresses = np.array([simulation._address for simulation in simulations])
        ceilings.make_loop()(model._address, addresses, start, controls, 3)
        for simulation, its in zip(simulations, controls, strict=True):
            other = mujoco.MjData(model)
            for control in its[ceilings.EPISODE :]:
                other.ctrl[:] = control
                mujoco.mj_step(model, other, 3)
            assert np.array_equal(
                ceilings.state_of(model, simulation), ceilings.state_of(model, other)
            )
            assert simulation.time > 0

    @pytest.mark.parametrize("make", [ceilings.mujoco_batch, ceilings.compiled_loop])
    def test_they_take_the_same_steps(self, make: Callable[..., Any]) -> None:
        lap = make("InvertedPendulum-v4")()
        assert lap.steps == ceilings.STEPS * ceilings.SIMULATIONS and lap.seconds > 0


def test_iterations_of_ours_have_phases() -> None:
    work = ours.training("InvertedPendulum-v4", "vpg", ["sampler.steps_per_env=8"])
    lap = work()
    assert lap.steps == 16 * 8
    assert {"collect", "update", "value"} <= lap.phases.keys()
    assert lap.phases.pop(ours.SAME_PHYSICS) > 0.0
    assert 0 < sum(lap.phases.values()) <= lap.seconds


class FakeWorker:
    """Instead of a process: rates by what is made, in the order in which they are made."""

    rates: dict[Any, float]
    made: list[Any]
    alive = 0

    def __init__(self, make: Any, cores: int, math_threads: int = 1, **arguments: Any) -> None:
        envs = arguments.get("num_envs")
        key = (make, envs, math_threads) if envs else arguments.get("algo", make)
        FakeWorker.made.append(key)
        if key not in FakeWorker.rates:
            raise Failed(f"no {key}")
        self.rate = FakeWorker.rates[key]

    def measure(self, seconds: float) -> Lap:
        return Lap(round(self.rate * seconds), seconds)

    def __enter__(self) -> FakeWorker:
        FakeWorker.alive += 1
        return self

    def __exit__(self, *_: object) -> None:
        FakeWorker.alive -= 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    monkeypatch.setattr(bench, "Worker", FakeWorker)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(FakeWorker, "made", [], raising=False)
    batch, loop = ceilings.mujoco_batch, ceilings.compiled_loop
    rates = {batch: 100, loop: 200, "vpg": 50, "trpo": 120, ours.vine: 190}
    monkeypatch.setattr(FakeWorker, "rates", rates, raising=False)
    return FakeWorker


def arguments(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["bench.py", *words])
    return bench.parse()


class TestMeasure:
    def test_the_ceiling_is_the_faster_one(
        self, fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        args = arguments(monkeypatch, "--algos", "vpg", "--no-others")
        result = bench.measure("Hopper-v4", 1, args)
        assert result.ceiling == "compiled loop" and result.loop and result.loop.ratio == 2.0
        assert [(r.name, r.ceiling and r.ceiling.ratios) for r in result.rows] == [
            ("vpg", [0.25] * 5),
            ("vine rollouts", [0.95] * 5),
        ]
        fake.rates[ceilings.mujoco_batch] = 400
        result = bench.measure("Walker2d-v4", 1, args)
        assert result.ceiling == "mujoco.batch" and len(result.rows) == 1
        assert result.rows[0].ceiling and result.rows[0].ceiling.ratio == 0.125
        assert fake.alive == 0

    def test_beside_the_others_at_their_best(
        self, fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make, tried = others.arrangements("Hopper-v4", 2)
        assert len(tried) == 6
        for k, arrangement in enumerate(tried):  # the fourth is the fastest
            key = (make, arrangement["num_envs"], arrangement["torch_threads"])
            fake.rates[key] = [10, 15, 20, 30, 12, 6][k]
        args = arguments(monkeypatch, "--algos", "trpo", "--vine-envs", "--pairs", "3")
        (row,) = bench.measure("Hopper-v4", 2, args).rows
        assert row.best == tried[3] == {"num_envs": 8, "torch_threads": 2}
        assert row.others and row.others.ratios == [4.0] * 3

    def test_what_fails_costs_its_own_row_only(
        self, fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        args = arguments(monkeypatch, "--algos", "ppo", "trpo", "--vine-envs")
        ppo, trpo = bench.measure("Hopper-v4", 1, args).rows
        assert ppo == Row("ppo", error="no ppo")
        assert trpo.ceiling and trpo.ceiling.ratio == 0.6  # without the others' figures
        assert trpo.others is None and trpo.error.startswith("no (")
        assert fake.alive == 0

    def test_no_ceiling(
        self,
        fake: type[FakeWorker],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        del fake.rates[ceilings.compiled_loop]
        arguments(monkeypatch, "--envs", "Nothing-v4", "--no-others")
        assert bench.main() == 1
        assert "Nothing-v4 has no ceiling: no <function compiled_loop" in capsys.readouterr().err
        assert fake.alive == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cores", "0"], "--cores: [0], and this process may use 1 to"),
        (["--pairs", "0"], "--pairs must be at least 1"),
        (["--seconds", "0"], "--seconds more than 0"),
        ([], "is not installed: pip install -e '.[bench]', or leave them out with --no-others"),
    ],
)
def test_bad_arguments(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        arguments(monkeypatch, *words)
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


RATIO = Comparison(
    20_000.4, 40_000.4, 0.5, [0.5, 0.25, 0.75], {"collect": 12.34, "same physics": 33.28}
)
BARE = Comparison(30_000.0, 40_000.0, 0.75, [0.75], {})
BESIDE = Comparison(20_000.4, 5_000.0, 4.0, [4.0], {})
RESULT = Result(
    "Hopper-v4",
    2,
    "compiled loop",
    BARE,
    [
        Row("trpo", RATIO, BESIDE, {"num_envs": 8}),
        Row("ppo", error="ValueError: no"),
        Row("vine rollouts", BARE),
    ],
)


class TestReport:
    def test_a_row_per_rule(self) -> None:
        title, head, rule, *rows = table(RESULT).strip().replace("\n\n", "\n").split("\n")
        assert title == (
            "Hopper-v4, 2 cores; ceiling: compiled loop "
            "(compiled loop by mujoco.batch: 0.75 [0.75, 0.75])"
        )
        assert [len(line.split("|")) for line in (head, rule, *rows)] == [10] * 5
        assert head.endswith("| collect | same physics |")
        assert rows == [
            # 33.28 of 51.2 milliseconds for 1,024 steps.
            "| trpo | 20,000 | 40,000 | 0.50 [0.25, 0.75] | 0.65 | 4.00 [4.00, 4.00] of 5,000 "
            "(num_envs=8) | 12.3 | 33.3 |",
            "| ppo | failed: ValueError: no |  |  |  |  |  |  |",
            "| vine rollouts | 30,000 | 40,000 | 0.75 [0.75, 0.75] |  |  |  |  |",
        ]

    def test_a_row_per_task(self) -> None:
        one_core = Result("Ant-v4", 1, "mujoco.batch", None, [Row("trpo", BARE)])
        *_, head, _, first, second = summary([RESULT, one_core]).split("\n")
        assert head == "|  | cores | ceiling | trpo | ppo | vine rollouts |"
        assert first == "| Hopper-v4 | 2 | 40,000 | 0.50 [0.25, 0.75] |  | 0.75 [0.75, 0.75] |"
        assert second == "| Ant-v4 | 1 | 40,000 | 0.75 [0.75, 0.75] |  |  |"


@pytest.mark.slow
def test_the_whole_of_it(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    words = "--envs InvertedPendulum-v4 --vine-envs InvertedPendulum-v4 --algos vpg --cores 1"
    more = ["--no-others", "--seconds", "0.1", "--pairs", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/bench.py"), *words.split(), *more],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert "InvertedPendulum-v4, 1 core; ceiling: " in done.stdout
    (result,) = json.loads(out.read_text())["results"]
    assert [row["name"] for row in result["rows"]] == ["vpg", "vine rollouts"]
    for row in result["rows"]:
        assert row["error"] == "" and len(row["ceiling"]["ratios"]) == 2
        assert 0 < row["ceiling"]["ratio"] < 2


@pytest.mark.slow
def test_the_physics_of_an_iteration_is_stepped_again_to_the_bit() -> None:
    """`Replay.seconds` raises where the same actions lead elsewhere, and changes nothing."""
    from benchmark.replay import Replay
    from trpo_cli.commands.hydra.compose import config_of
    from trpo_cli.training.trainer import Training

    made = [
        Training(config_of("algo=trpo", "env=Hopper-v4", "seed=0", "sampler.groups=1"))
        for _ in range(2)
    ]
    replay = Replay(made[1])
    for _ in range(2):
        rows = [training.iterate() for training in made]
        assert replay.seconds() > 0.0
        assert rows[0]["train/return_mean"] == rows[1]["train/return_mean"]


@pytest.mark.slow
def test_costs_has_a_line_for_a_variation() -> None:
    import costs

    found = costs.line("few", "HalfCheetah-v4", "ppo", ["sampler.steps_per_env=16"], 1, 0.1)
    name, cores, rate, *spent = [cell.strip() for cell in found.strip("|").split("|")]
    assert (name, cores) == ("few", "1") and int(rate.replace(",", "")) > 0
    assert len(spent) == 1 + len(costs.COLUMNS) and all(float(ms) >= 0.0 for ms in spent)
