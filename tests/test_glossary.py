"""docs/glossary.md names what runs write: no key is missing, none is left over, none is elsewhere.

Each row says in words who writes it; here stands what the words mean for a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import MINIBATCH_RULES, lines, settings
from trpo_cli.commands.evaluate import main as evaluate
from trpo_cli.commands.run import main

GLOSSARY = (Path(__file__).parents[1] / "docs" / "glossary.md").read_text()
ROW = re.compile(r"^\| `([\w/]+)` \|.* \| ([^|]+) \|$", re.MULTILINE)


@dataclass
class Run:
    """A run of one iteration and what the glossary's words say of it."""

    rule: str
    env: str = "Hopper-v4"
    changes: dict[str, Any] = field(default_factory=dict)
    gaussian: bool = True

    @property
    def evolves(self) -> bool:
        return self.rule == "es"

    @property
    def fits_a_value(self) -> bool:
        return not self.evolves and self.changes.get("value") != "none"

    @property
    def normalises(self) -> bool:
        return not self.evolves and "cnn" not in self.changes.get("policy", "")

    @property
    def is_vine(self) -> bool:
        return self.changes.get("sampler") == "vine"

    @property
    def words(self) -> list[str]:
        small = {"sampler.num_envs": 2, "sampler.steps_per_env": 4, "total_steps": 8}
        quiet = {"checkpoint.every": 0, "eval.every": 0, "eval.episodes": 1}
        if self.rule in MINIBATCH_RULES:
            small["algo.minibatch_size"] = 8
        chosen = settings(self.rule, self.env, **{**small, **quiet, **self.changes})
        return [o for o in chosen if not o.startswith(("value.minibatch", "value.epochs"))]


VINE = {"sampler": "vine", "sampler.rollout_states": 2, "sampler.horizon": 2}
FRAMES = {"env.atari.frame_height": 40, "env.atari.frame_width": 40, "policy": "trpo_cnn"}
CARTPOLE, LQR = "CartPole-v1", "trpo_cli/LQR-v0"
GAIN = {"policy": "linear", "value": "quadratic"}
RUNS = {
    **{rule: Run(rule) for rule in ("vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual")},
    "es": Run("es", changes={"sampler": "perturbations"}),
    "es-discrete": Run("es", CARTPOLE, {"sampler": "perturbations"}, gaussian=False),
    "lqr": Run("npg", LQR, GAIN),
    "reuse": Run("ppo", CARTPOLE, {"sampler.reuse": 2}, gaussian=False),
    "atari": Run("ppo", "ALE/Pong-v5", FRAMES, gaussian=False),
    "no value": Run("trpo", CARTPOLE, {"value": "none", "advantage": "reward_to_go"}, False),
    "vine": Run("trpo", changes={**VINE, "sampler.compare_states": 1}),
    "vine alone": Run("trpo", changes={**VINE, "sampler.use_trunk": "false"}),
    "vine-uniform": Run("vpg", CARTPOLE, {**VINE, "sampler.proposal": "uniform"}, False),
    "vine-all": Run("npg", CARTPOLE, {**VINE, "sampler.proposal": "all"}, False),
}

MEANINGS: dict[str, Callable[[Run], bool]] = {
    "every rule": lambda run: True,
    "every rule but es": lambda run: not run.evolves,
    "every rule but es, observations normalised": lambda run: run.normalises,
    "Gaussian actions": lambda run: run.gaussian and not run.evolves,
    "a value function": lambda run: run.fits_a_value,
    "earlier samples": lambda run: "sampler.reuse" in run.changes,
    "the vine": lambda run: run.is_vine,
    "the vine, actions drawn": lambda run: (
        run.is_vine and run.changes.get("sampler.proposal") != "all"
    ),
    "the vine, trunk used": lambda run: (
        run.is_vine and run.changes.get("sampler.use_trunk") != "false"
    ),
    "the vine, states compared": lambda run: "sampler.compare_states" in run.changes,
}


def rows(heading: str) -> dict[str, str]:
    """Key -> who writes it, of the tables below one of the page's headings."""
    section = GLOSSARY.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    return dict(ROW.findall(section))


def writes(run: Run, who: str) -> bool:
    return MEANINGS[who](run) if who in MEANINGS else run.rule in who.split(", ")


@pytest.mark.parametrize("name", RUNS)
def test_metrics(name: str, tmp_path: Path) -> None:
    run = RUNS[name]
    assert main([*run.words, f"hydra.run.dir={tmp_path}"]) == 0
    written = {key for row in lines(tmp_path / "metrics.jsonl") for key in row}
    named = rows("metrics.jsonl")
    assert written == {key for key, who in named.items() if writes(run, who)}
    (record,) = lines(tmp_path / "eval.jsonl")
    assert record.keys() == evaluation_keys() - {"checkpoint", "by"}


def test_evaluations(tmp_path: Path) -> None:
    """The best checkpoint's record has one key more, and so have those of trpo-eval."""
    run = Run("vpg", CARTPOLE, {"checkpoint.every": 8, "eval.every": 8})
    assert main([*run.words, f"hydra.run.dir={tmp_path}"]) == 0
    assert evaluate([str(tmp_path), "--episodes", "1"]) == 0
    first, best, *later = lines(tmp_path / "eval.jsonl")
    assert best.keys() == evaluation_keys() - {"by"}
    assert first.keys() == evaluation_keys() - {"checkpoint", "by"}
    assert len(later) == 2
    assert all(r.keys() == evaluation_keys() - {"checkpoint"} for r in later)


def evaluation_keys() -> set[str]:
    return set(rows("eval.jsonl"))


def test_tables_have_words_that_mean_something() -> None:
    """Each row is read, and each of its words is either a meaning or a list of rules."""
    named = rows("metrics.jsonl")
    assert len(named) == GLOSSARY.partition("\n## eval.jsonl")[0].count("\n| `")
    rules = {run.rule for run in RUNS.values()}
    unknown = [who for who in named.values() if who not in MEANINGS]
    assert [who for who in unknown if not rules >= set(who.split(", "))] == []
