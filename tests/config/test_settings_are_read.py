"""Every setting is read by the code that it is for: seen in real runs of every component."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import running
from trpo_cli.commands import run as cli
from trpo_cli.config import Config
from trpo_cli.config.schema import all_options

THEMSELVES = ("config.", "settings.", "components.", "commands.hydra.")
"""What reads all settings to check, print and write them; that makes none of them matter."""

IMAGES = "tests.support.toys:Toy/Telescope-v0"
MINIBATCHES = running.MINIBATCH_RULES
SCALED = {"advantage.scale_rewards": "true"}
FEW = {"sampler.num_envs": 2, "sampler.steps_per_env": 8}


def case(rule: str, env: str, /, **changes: Any) -> list[str]:
    small = {"total_steps": 16, "eval.every": 0, "eval.episodes": 0, **changes}
    return [s for s in running.settings(rule, env, **small) if not s.startswith("value.")]


CASES = [
    *(case(rule, "Hopper-v4", **FEW) for rule in running.RULES if rule not in MINIBATCHES),
    *(case(rule, "Hopper-v4", **FEW, **{"algo.schedule": "adaptive"}) for rule in MINIBATCHES),
    case("npg", "Hopper-v4", **FEW, **{"algo.step_rule": "fixed"}),
    case("npg", "CartPole-v1", **FEW, **{"sampler.reuse": 2}),
    case("vpg", "CartPole-v1", **FEW, **{"eval.every": 16, "eval.episodes": 1}),
    case("es", "CartPole-v1", **{"sampler.num_envs": 4, "sampler.steps_per_env": 32}),
    case("trpo", "Hopper-v4", **FEW, policy="linear", value="quadratic"),
    *(case("trpo", "Hopper-v4", **FEW, policy=name) for name in ("gru", "lstm")),
    case("trpo", "Hopper-v4", sampler="vine", **{"sampler.rollout_states": 4}),
    case("ppo", "ALE/Pong-v5", **FEW, policy="nature_cnn", value="shared"),
    case("trpo", IMAGES, **FEW, policy="nature_cnn", value="shared"),
    case("trpo", IMAGES, **FEW, policy="trpo_cnn"),
    *(
        case("vpg", "CartPole-v1", advantage=name, **SCALED)
        for name in ("value_baseline", "td_residual", "gae", "q_value")
    ),
    *(
        case("vpg", "CartPole-v1", advantage=name, value="none", **SCALED)
        for name in ("total_return", "reward_to_go", "average_baseline")
    ),
]


def kinds() -> list[type]:
    """All dataclasses of settings."""
    groups = all_options().values()
    options = [kind for group in groups for name, kind in group.items() if name != "auto"]
    return [*options, *inner(Config())]


def inner(config: Any) -> list[type]:
    values = [
        getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in all_options()
    ]
    return [type(config), *(k for v in values if dataclasses.is_dataclass(v) for k in inner(v))]


def note_reads(kind: type, unread: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, cross out the fields of such settings that are read, but not by their checks."""
    fields = {f.name: f"{kind.__name__}.{f.name}" for f in dataclasses.fields(kind)}
    plain: Any = kind.__getattribute__

    def noted(self: Any, name: str) -> Any:
        if name in fields:
            frame = sys._getframe(1)
            reader = f"{frame.f_globals['__name__']}."
            inside = reader.removeprefix("trpo_cli.")
            checks = frame.f_code.co_name.startswith(("check", "__"))
            own = checks and frame.f_locals.get("self") is self
            if reader != inside and not inside.startswith(THEMSELVES) and not own:
                unread.discard(fields[name])
        return plain(self, name)

    monkeypatch.setattr(kind, "__getattribute__", noted)
    unread |= {
        text for name, text in fields.items() if name not in ("name", "given", *all_options())
    }


def test_every_setting_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unread: set[str] = set()
    for kind in kinds():
        note_reads(kind, unread, monkeypatch)
    for number, overrides in enumerate(CASES):
        assert cli.main([*overrides, f"hydra.run.dir={tmp_path / str(number)}"]) == 0, overrides
    assert not unread, " ".join(sorted(unread))
