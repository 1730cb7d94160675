"""Settings that were searched for (conf/tuned), and what a run says of settings of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from trpo_cli.commands.hydra.compose import compose, config_of, start_hydra
from trpo_cli.components import ALSO, TUNED, conf_dir, file_names, read_yaml
from trpo_cli.config.changed import changed
from trpo_cli.config.settle import settle
from trpo_cli.errors import UserError

FILES = [name for name in file_names(TUNED) if name != "none"]
ENTRIES = [
    (name, *entry.split())
    for name in FILES
    for entry in read_yaml(conf_dir() / TUNED / f"{name}.yaml")[ALSO]
]
OWN = """\
# @package _global_
with:
  algo=ppo env=Hopper:
    discount: 0.97
    policy: {init_log_std: 0.5}
    sampler: {num_envs: 4}
  algo=ppo env=Swimmer: {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / TUNED).mkdir()
    (tmp_path / TUNED / "own.yaml").write_text(OWN, encoding="utf-8")
    return str(tmp_path)


def composed(folder: str, *words: str) -> Any:
    return compose(start_hydra(folder), words)[0]


class TestTuned:
    def test_each_entry_of_ours_composes_and_changes_what_it_says(self) -> None:
        for name, rule, env in ENTRIES:
            both = [config_of(rule, f"{env}-v4", f"tuned={one}") for one in ("none", name)]
            usual, found = (changed(settle(config, images=False)) for config in both)
            entry = read_yaml(conf_dir() / TUNED / f"{name}.yaml")[ALSO][f"{rule} {env}"]
            assert (usual != found) == bool(entry), (rule, env)

    def test_sets_what_the_entry_has(self, folder: str) -> None:
        config = composed(folder, "algo=ppo", "env=Hopper-v4", "tuned=own")
        assert changed(settle(config, images=False)) == [
            "discount=0.97",
            "sampler.num_envs=4",
            "policy.init_log_std=0.5",
        ]

    def test_versions_of_a_task_share_an_entry(self, folder: str) -> None:
        config = composed(folder, "algo=ppo", "env=Hopper-v5", "tuned=own")
        assert config.discount == 0.97

    def test_the_command_line_wins(self, folder: str) -> None:
        config = composed(folder, "algo=ppo", "env=Hopper-v4", "tuned=own", "discount=0.9")
        assert config.discount == 0.9

    def test_an_empty_entry_is_the_defaults(self, folder: str) -> None:
        words = ("algo=ppo", "env=Swimmer-v4")
        assert composed(folder, *words, "tuned=own") == composed(folder, *words)

    def test_no_entry_is_refused(self, folder: str) -> None:
        with pytest.raises(
            UserError, match=r"no settings for algo=vpg env=Hopper-v4.*algo=ppo env"
        ):
            composed(folder, "algo=vpg", "env=Hopper-v4", "tuned=own")

    @pytest.mark.parametrize(
        ("word", "said"),
        [
            ("tuned=mojoco", "not one of its options: mujoco, none. Did you mean mujoco"),
            ("tuned=null", "one of: mujoco, none"),
            ("+tuned=mujoco", "write tuned=mujoco"),
            ("tuned=mujoco,none", "add -m"),
        ],
    )
    def test_mistakes(self, word: str, said: str) -> None:
        with pytest.raises(UserError, match=re.escape(said)):
            config_of("env=Hopper-v4", word)


class TestChanged:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["env=Hopper-v4", "algo=ppo"], []),
            (["env=Swimmer-v4"], ["discount=0.9999", "advantage.gae_lambda=0.98"]),
            (
                ["env=CartPole-v1", "policy.hidden_sizes=[32,16]", "seed=3", "threads=1"],
                ["policy.hidden_sizes=[32,16]"],
            ),
            (["env=Hopper-v4", "algo=ppo", "value.epochs=5"], ["value.epochs=5"]),
            (["env=Hopper-v4", "sampler=vine"], []),
            (
                ["env=Hopper-v4", "sampler=vine", "sampler.use_trunk=false"],
                ["sampler.use_trunk=false"],
            ),
        ],
    )
    def test_of_vectors(self, words: list[str], expected: list[str]) -> None:
        assert changed(settle(config_of(*words), images=False)) == expected

    def test_of_a_game(self) -> None:
        words = ["env=ALE/Pong-v5", "algo=ppo", "algo.epochs=3"]
        config = settle(config_of(*words), images=True, emulated=True)
        assert changed(config) == ["algo.epochs=3"]
