"""What is kept of a run directory, against what its files were made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic import evaluation, write_run
from trpo_cli.errors import UserError
from trpo_cli.reference import distil
from trpo_cli.reference.distil import is_trial, read_finished, result_of, trial_of
from trpo_cli.runs import chain
from trpo_cli.runs.directory import EVAL, METRICS, read_json, write_json
from trpo_cli.runs.manifest import MANIFEST


def chained_run(path: Path, **options: Any) -> Path:
    """A synthetic run whose rows carry a chain, as those of `trpo-run` do."""
    write_run(path, **options)
    rows = chain.begin()
    for name in (METRICS, EVAL):
        lines, before = list[bytes](), rows["start"]
        for line in chain.lines_of((path / name).read_bytes()):
            sealed, before = chain.seal(line[:-2], before)
            lines.append(sealed)
        (path / name).write_bytes(b"".join(lines))
        rows[name] = chain.extent(lines, rows["start"])
    content = read_json(path / MANIFEST, 2, "a manifest", dict)
    git = {"commit": "0123456789abcdef", "dirty": options.get("seed") == 1}
    write_json(path / MANIFEST, {**content, "format": 2, "rows": rows, "git": git})
    return path


def both(step: int, episodes: int = 100, **more: Any) -> list[dict[str, Any]]:
    """The evaluation that training wrote, and the two of trpo-eval."""
    kinds = [(False, 900.0, 5), (False, 1000.0, episodes), (True, 1100.0, episodes)]
    return [
        evaluation(step, mean, **{"deterministic": kind, "episodes": n, **more})
        for kind, mean, n in kinds
    ]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    def row(i: int) -> dict[str, Any]:
        # The largest KL of an accepted update is 0.0095 of 0.01; that of row 5 was rejected.
        kl = {3: 0.0095, 5: 0.5}.get(i, 0.005)
        accepted = 0 if i == 5 else 1
        return {
            "policy/kl": kl,
            "trust_region/accepted": accepted,
            "policy/normalizer_kl": [0.002, 1e-6, 3e-6][min(i, 2)],
        }

    return chained_run(tmp_path / "run", seed=3, evals=both(24_000), row=row, final=600.0)


def test_what_is_kept(run_dir: Path) -> None:
    kept = result_of(read_finished(run_dir), cpu_seconds=12.5)
    assert (kept.algo, kept.sampler, kept.env) == ("trpo", "single_path", "Hopper-v4")
    assert (kept.seed, kept.total_steps, kept.updates) == (3, 24_000, 12)
    assert (kept.sampled.mean, kept.deterministic.mean, kept.sampled.n) == (1000.0, 1100.0, 100)
    assert kept.kl_share == pytest.approx(0.95)
    assert kept.normalizer_kl == (0.002, 3e-6)
    assert (kept.seconds, kept.cpu_seconds) == (24.0, 12.5)
    assert kept.versions == {"numpy": "2.4.6", "gymnasium": "1.4.0", "mujoco": "3.17.0"}
    assert kept.commit == "0123456789"
    # The return rises along a line, whose mean over a window in the middle is the line itself.
    assert kept.returns.shape == kept.steps.shape == (distil.POINTS,)
    np.testing.assert_allclose(kept.returns[[0, -1]], [20 + 580 / 6, 600.0])
    np.testing.assert_allclose(np.diff(kept.returns), 580 * np.diff(kept.steps) / 24_000)


def test_a_fast_beginning_is_kept(tmp_path: Path) -> None:
    """A return that jumps after two of a hundred rows is nearly there after three."""

    def jump(share: np.ndarray) -> np.ndarray:
        return (share > 0.025).astype(float)

    run_dir = chained_run(
        tmp_path / "run", rows=100, evals=both(24_000), curve=jump, start=0.0, final=1000.0
    )
    kept = result_of(read_finished(run_dir))
    assert np.interp(3 * 240, kept.steps, kept.returns) > 800.0
    np.testing.assert_allclose(kept.returns[kept.steps > 4 * 240], 1000.0)


def test_settings_are_those_that_decide_results(run_dir: Path) -> None:
    settings = result_of(read_finished(run_dir)).settings
    assert settings["algo.max_kl"] == 0.01 and settings["discount"] == 0.99
    assert not {"seed", "threads", "env.id", "total_steps", "eval.every"} & settings.keys()


def test_a_commit_with_changes_says_so(tmp_path: Path) -> None:
    run_dir = chained_run(tmp_path / "run", seed=1, evals=both(24_000))
    assert result_of(read_finished(run_dir)).commit == "0123456789-dirty"


@pytest.mark.parametrize(
    ("evals", "said"),
    [
        (both(24_000)[:2], "deterministic"),
        (both(24_000)[::2], "sampled"),
        (both(24_000, episodes=99), "100 episodes"),
        (both(22_000), "last policy"),
        (both(24_000, checkpoint="best"), "last policy"),
    ],
    ids=["no deterministic", "no sampled", "too few", "an earlier policy", "the best"],
)
def test_a_run_without_both_evaluations_is_refused(
    tmp_path: Path, evals: Sequence[dict[str, Any]], said: str
) -> None:
    run_dir = chained_run(tmp_path / "run", evals=evals)
    with pytest.raises(UserError, match=said):
        result_of(read_finished(run_dir))


def test_a_game_takes_fewer_episodes(tmp_path: Path) -> None:
    evals = both(24_000, episodes=30)
    played = chained_run(tmp_path / "pong", env="PongNoFrameskip-v4", evals=evals)
    assert result_of(read_finished(played)).sampled.n == 30
    with pytest.raises(UserError, match="30 episodes"):
        short = both(24_000, episodes=29)
        result_of(read_finished(chained_run(tmp_path / "short", env="ALE/Pong-v5", evals=short)))


def test_the_first_evaluation_counts(tmp_path: Path) -> None:
    again = evaluation(24_000, 9999.0, episodes=100)
    run_dir = chained_run(tmp_path / "run", evals=[*both(24_000), again])
    assert result_of(read_finished(run_dir)).sampled.mean == 1000.0


def test_unfinished_unchained_and_changed_runs_are_refused(tmp_path: Path, run_dir: Path) -> None:
    unfinished = chained_run(tmp_path / "unfinished", status="interrupted")
    with pytest.raises(UserError, match=r"interrupted at 24,000 steps.*resume="):
        read_finished(unfinished)
    with pytest.raises(UserError, match="carry no chain"):
        read_finished(write_run(tmp_path / "older"))
    rows = (run_dir / METRICS).read_bytes()
    (run_dir / METRICS).write_bytes(rows.replace(b"0.0095", b"0.0085"))
    with pytest.raises(UserError, match="row 4 of"):
        read_finished(run_dir)


def test_seeds_from_a_thousand_on_are_trials(tmp_path: Path, run_dir: Path) -> None:
    assert not is_trial(read_finished(run_dir))
    trial = read_finished(chained_run(tmp_path / "trial", seed=1000, final=600.0))
    assert is_trial(trial)
    kept = trial_of(trial, "algo.max_kl=0.02")
    assert (kept.final, kept.seed, kept.changes) == (600.0, 1000, "algo.max_kl=0.02")
    # Along a line from the second row's return to the last the mean is that of the ends.
    assert kept.area == pytest.approx((20 + 580 / 6 + 600.0) / 2)
