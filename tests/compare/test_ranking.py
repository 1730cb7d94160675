"""The ranked table, the sentence above it, and what few runs leave open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.synthetic import write_sample
from trpo_cli.compare.analyse import analyse
from trpo_cli.compare.groups import make_groups
from trpo_cli.compare.ranking import caution, headline, ranking, some
from trpo_cli.compare.read import find_runs
from trpo_cli.compare.results import Comparison, Options

HIGH = [300.0, 301.0, 299.0, 302.0, 298.0]
LOW = [100.0, 101.0, 99.0, 102.0, 98.0]
WIDE = [250.0, 350.0, 150.0, 300.0, 400.0]


@pytest.fixture
def compare(tmp_path: Path) -> Any:
    def make(**envs: dict[str, list[float]]) -> Comparison:
        samples = {
            (f"{e}-v4", a): values for e, found in envs.items() for a, values in found.items()
        }
        write_sample(tmp_path, samples)
        groups = make_groups(find_runs([str(tmp_path)]).runs)
        return analyse(groups, Options("steps", None, {}, ""), [])

    return make


class TestRanking:
    def test_the_highest_mean_first_and_what_it_is_ahead_of(self, compare):
        c = compare(Hopper={"vpg": LOW, "trpo": HIGH, "ppo": WIDE})
        ranks = ranking(c, c.envs[0])
        assert [(r.place, r.group.label) for r in ranks] == [(1, "trpo"), (2, "ppo"), (3, "vpg")]
        assert ranks[0].ahead == ["vpg"] and ranks[2].below == []
        assert [r.ahead_in_words for r in ranks] == ["vpg", "vpg", "none"]

    def test_equal_means_share_a_place(self, compare):
        c = compare(Hopper={"vpg": LOW, "trpo": HIGH, "ppo": HIGH})
        assert [r.place for r in ranking(c, c.envs[0])] == [1, 1, 3]

    def test_a_star_where_so_few_runs_cannot_show_it(self, compare):
        """3 + 3 runs: the permutation test cannot fall below 0.1."""
        c = compare(Hopper={"vpg": LOW[:3], "trpo": HIGH[:3]})
        assert [r.ahead_in_words for r in ranking(c, c.envs[0])] == ["vpg*", "none"]
        assert "As few as 3 runs in a group" in caution(c)
        assert "* ahead if runs vary normally" in caution(c)

    def test_all_others_where_there_are_several(self, compare):
        lower = [v - 50 for v in LOW]
        c = compare(Hopper={"vpg": LOW, "npg": lower, "trpo": [v / 9 for v in LOW], "ppo": HIGH})
        assert ranking(c, c.envs[0])[0].ahead_in_words == "all others"
        assert caution(c) == ""


class TestHeadline:
    @pytest.mark.parametrize(
        ("groups", "words"),
        [
            ({"ppo": HIGH}, "ppo ends at 300 ± 1.58 on Hopper-v4; there is nothing to compare"),
            ({"ppo": HIGH, "trpo": LOW}, "ppo is ahead of trpo on Hopper-v4: 300 ± 1.58."),
            (
                {"ppo": HIGH, "trpo": WIDE, "vpg": LOW},
                "ppo has the highest mean on Hopper-v4, 300 ± 1.58: ahead of vpg, not to be told "
                "from trpo.",
            ),
            ({"ppo": HIGH, "trpo": WIDE}, "ppo has the highest mean on Hopper-v4, 300 ± 1.58, and "
             "cannot be told from trpo."),
            ({"ppo": HIGH, "trpo": HIGH, "vpg": LOW}, "trpo and ppo share the highest mean on "
             "Hopper-v4, 300 ± 1.58, ahead of vpg."),
        ],
    )  # fmt: skip
    def test_on_one_environment(self, compare, groups, words):
        assert headline(compare(Hopper=groups)).startswith(words)

    def test_three_names_and_no_more(self, compare):
        lower = {a: [v - i for v in WIDE] for i, a in enumerate(("ppo", "vpg", "npg", "trpo"))}
        assert headline(compare(Hopper=lower)).endswith("be told from vpg, npg and trpo.")
        assert some(["a", "b", "c", "d", "e"]) == "a, b and 3 others"

    def test_on_several(self, compare):
        c = compare(Hopper={"ppo": HIGH, "trpo": LOW}, Ant={"ppo": LOW, "trpo": HIGH})
        words = "Highest mean: trpo on Ant-v4; ppo on Hopper-v4; ahead of every other group on both"
        assert headline(c) == f"{words} environments."

    def test_a_leader_of_all_that_is_ahead_on_one(self, compare):
        c = compare(Hopper={"ppo": HIGH, "trpo": LOW}, Ant={"ppo": HIGH, "trpo": WIDE})
        assert headline(c) == (
            "ppo has the highest mean on both environments; ahead of every other group on "
            "Hopper-v4 only."
        )

    def test_no_lead_anywhere(self, compare):
        c = compare(Hopper={"ppo": HIGH, "trpo": WIDE}, Ant={"ppo": HIGH, "trpo": WIDE})
        assert headline(c).endswith("; nowhere ahead of every other group.")

    def test_one_group_on_several(self, compare):
        c = compare(Hopper={"ppo": HIGH}, Ant={"ppo": LOW})
        assert headline(c) == "There is only ppo, on 2 environments: nothing to compare."
