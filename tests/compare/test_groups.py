from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.synthetic import write_run
from trpo_cli.compare.groups import check_keys, make_groups, natural
from trpo_cli.compare.read import Run, find_runs
from trpo_cli.compare.refusals import refuse_mixtures
from trpo_cli.errors import UserError


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Writes runs, each given by its settings, and reads them."""

    def write(*settings: dict[str, Any]) -> list[Run]:
        for i, chosen in enumerate(settings):
            write_run(tmp_path / f"{i:02}", **{"seed": i, **chosen})
        return find_runs([str(tmp_path)]).runs

    return write


class TestGroups:
    def test_algorithm_sampler_and_environment(self, make):
        runs = make(
            {"algo": "ppo"},
            {"algo": "trpo"},
            {"algo": "trpo", "sampler__name": "vine"},
            {"algo": "trpo", "env": "CartPole-v1"},
            {"algo": "trpo"},
        )
        grouping = make_groups(runs)
        assert grouping.labels == ["trpo", "trpo+vine", "ppo"]
        assert grouping.envs == ["CartPole-v1", "Hopper-v4"]
        assert [run.seed for run in grouping.groups["Hopper-v4", "trpo"].runs] == [1, 4]
        assert [group.label for group in grouping.of("CartPole-v1")] == ["trpo"]
        assert grouping.notes == []

    def test_runs_that_began_with_another_policy_are_a_group_of_their_own(self, make):
        """Two that began with different ones are told."""
        runs = make({}, {"init": "a"}, {"init": "b"}, {"init": "a", "sampler__name": "vine"})
        grouping = make_groups(runs)
        assert grouping.labels == ["trpo", "trpo+init", "trpo+vine+init"]
        assert [len(group.runs) for group in grouping.of("Hopper-v4")] == [1, 2, 1]
        (note,) = grouping.notes
        assert "trpo+init on Hopper-v4 mixes runs of different settings (init: a, b)" in note

    def test_by_a_key(self, make):
        runs = make(*({"algo__max_kl": kl} for kl in (0.1, 0.005, 0.02, 0.1)))
        grouping = make_groups(runs, ["algo.max_kl"])
        assert grouping.labels == ["trpo max_kl=0.005", "trpo max_kl=0.02", "trpo max_kl=0.1"]
        assert grouping.notes == []

    def test_a_key_that_does_not_vary_is_not_named(self, make):
        assert make_groups(make({}, {}), ["algo.max_kl", "policy", "env"]).labels == ["trpo"]

    def test_by_an_argument_of_the_environment(self, make):
        runs = make(*({"env__kwargs": kwargs} for kwargs in ({"goal": 2}, {"goal": 10}, {})))
        by = ["env.kwargs.goal"]
        assert make_groups(runs, by).labels == ["trpo", "trpo goal=2", "trpo goal=10"]
        assert refuse_mixtures(runs, by=by) == []
        with pytest.raises(UserError, match="different arguments"):
            refuse_mixtures(runs)

    def test_another_argument_is_still_another_task(self, make):
        runs = make({"env__kwargs": {"goal": 2}}, {"env__kwargs": {"goal": 3, "noise": 1}})
        with pytest.raises(UserError, match="noise"):
            refuse_mixtures(runs, by=["env.kwargs.goal"])

    def test_a_setting_that_a_rule_has_not_is_no_part_of_its_name(self, make):
        runs = make({"algo": "ppo"}, {"algo__max_kl": 0.1}, {"algo__max_kl": 0.2})
        labels = make_groups(runs, ["algo.max_kl"]).labels
        assert labels == ["trpo max_kl=0.1", "trpo max_kl=0.2", "ppo"]

    def test_other_settings_within_a_group_are_told_but_never_seeds(self, make):
        runs = make({}, {"algo__max_kl": 0.02}, {"threads": 2, "checkpoint__minutes": 5.0})
        (note,) = make_groups(runs).notes
        assert (
            "trpo on Hopper-v4 mixes runs of different settings (algo.max_kl: 0.01, 0.02)" in note
        )
        assert "--by algo.max_kl" in note

    def test_the_same_seed_twice_is_one_run(self, make):
        grouping = make_groups(make({"seed": 1}, {"seed": 2}, {"seed": 1}))
        assert len(grouping.groups["Hopper-v4", "trpo"].runs) == 2
        assert "same seed and settings" in grouping.notes[0]

    def test_the_same_seed_with_other_settings_is_another_run(self, make):
        grouping = make_groups(make({"seed": 1}, {"seed": 1, "algo__max_kl": 0.02}))
        assert len(grouping.groups["Hopper-v4", "trpo"].runs) == 2

    @pytest.mark.parametrize(
        ("key", "hint"), [("algo.maxkl", "algo.max_kl"), ("max_kl", "algo.max_kl"), ("alg", "algo")]
    )
    def test_an_unknown_key(self, make, key, hint):
        with pytest.raises(UserError, match=rf"--by {key}: no run .* Did you mean {hint}\?"):
            make_groups(make({}), [key])

    def test_seeds_are_no_groups(self, make):
        with pytest.raises(UserError, match="averaged over"):
            make_groups(make({}), ["seed"])

    def test_by_folder(self, tmp_path):
        for name in ("old", "new"):
            write_run(tmp_path / name / "0")
        folders = [str(tmp_path / name) for name in ("old", "new")]
        grouping = make_groups(find_runs(folders).runs, ["folder"])
        assert grouping.labels == sorted(f"trpo folder={folder}" for folder in folders)


def test_numbers_sort_as_numbers_and_rules_as_they_are_told():
    texts = ["ppo", "es", "trpo a=10", "trpo a=2", "vpg", "trpo a=1e-05", "npg", "trpo+vine"]
    expected = ["vpg", "npg", "trpo a=1e-05", "trpo a=2", "trpo a=10", "trpo+vine", "ppo", "es"]
    assert sorted(texts, key=natural) == expected


class TestRefusals:
    @pytest.mark.parametrize(
        ("other", "kind", "words"),
        [
            ({"env": "Hopper-v5"}, "envs", "Hopper is there in versions"),
            ({"env__max_episode_steps": 100}, "envs", "different arguments"),
            ({"env__kwargs": {"reset_noise_scale": 0.1}}, "envs", "different arguments"),
            ({"env__backend": "warp"}, "envs", "different programs: env.backend=auto"),
            ({"env__vector": "native"}, "envs", "different programs: env.vector=auto"),
            ({"steps": 48_000}, "steps", "different total_steps: 24,000 steps"),
            ({"versions": {"trpo_cli": "0.2.0"}}, "versions", "trpo_cli 0.1.0"),
            ({"versions": {"mujoco": "4.0.1"}}, "versions", "mujoco 3.17.0"),
            ({"versions": {"gymnasium": "1.5.0"}}, "versions", "gymnasium 1.5.0"),
        ],
    )
    def test_what_does_not_compare_is_refused_unless_allowed(self, make, other, kind, words):
        runs = make({}, other)
        with pytest.raises(UserError) as caught:
            refuse_mixtures(runs)
        message = str(caught.value)
        assert words in message and f"--allow {kind}" in message
        assert str(runs[0].path) in message and str(runs[1].path) in message
        (note,) = refuse_mixtures(runs, {kind})
        assert words in note
        if words.startswith("different"):  # and what else it says helps too
            (key,) = re.findall(r"--by (\S+) makes groups of them", message)
            assert refuse_mixtures(runs, by=check_keys(runs, [key])) == []

    @pytest.mark.parametrize(
        "other",
        [
            {"versions": {"torch": "2.14.0", "ale-py": "0.13.0"}},  # neither steps Hopper
            {"env": "Walker2d-v5", "steps": 48_000},  # another task may have another budget
            {"env__new_setting": 3},  # the other run is of a version that had it not
            {"env__atari": {"frame_skip": 2}},  # no game is played
            {"env__vector": "workers"},  # the same results
        ],
    )
    def test_what_does_not_matter_is_not_refused(self, make, other):
        assert refuse_mixtures(make({}, other)) == []

    def test_the_physics_matter_only_where_they_were_used(self, make):
        plain = {"env": "CartPole-v1", "backend": "gymnasium"}
        assert refuse_mixtures(make(plain, {**plain, "versions": {"mujoco": "4.0.1"}})) == []

    def test_settings_of_atari_matter_to_atari(self, make):
        game = {"env": "ALE/Pong-v5", "backend": "atari"}
        runs = make(*({**game, "env__atari": {"frame_skip": skip}} for skip in (2, 4)))
        with pytest.raises(UserError, match=r"env.atari.frame_skip=2 \(1 run"):
            refuse_mixtures(runs)

    def test_the_emulator_matters_to_atari(self, make):
        atari = {"env": "ALE/Pong-v5", "backend": "atari"}
        with pytest.raises(UserError, match="ale-py"):
            refuse_mixtures(make(atari, {**atari, "versions": {"ale-py": "0.13.0"}}))
