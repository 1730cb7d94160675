"""The results' pages: what the store says stands in them, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from campaign import games, pages, tables
from campaign.cells import configured, defaults, named
from tests.reference.results import result
from trpo_cli.errors import UserError
from trpo_cli.reference import store
from trpo_cli.reference.distil import settings_of
from trpo_cli.reference.store import Evaluation, Result, Trial

ROOT = Path(__file__).parents[2]
PONG = "PongNoFrameskip-v4"
PENDULUM = "InvertedPendulum-v4"
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in pages.PAGES}


@pytest.fixture(scope="module")
def packaged() -> list[Result]:
    return store.read(store.packaged())


def runs(levels: tuple[float, ...] = (900.0, 1000.0, 1100.0), **changes: Any) -> list[Result]:
    usual = {"settings": defaults("trpo", "single_path", "Hopper-v4"), **changes}
    return [result(seed, level, **usual) for seed, level in enumerate(levels)]


class TestOnDisk:
    @pytest.mark.parametrize("name", PAGES)
    def test_a_page_is_what_the_store_says(self, name: str, packaged: list[Result]) -> None:
        """python scripts/reference.py page mends it."""
        trials = store.read_trials(store.packaged())
        assert pages.rewritten(PAGES[name], name, packaged, trials) == PAGES[name]

    @pytest.mark.parametrize("name", PAGES)
    def test_its_figures_are_of_the_runs_that_are_stored(
        self, name: str, packaged: list[Result]
    ) -> None:
        for file, shown in pages.figures(PAGES[name], packaged).items():
            assert pages.comment_of((ROOT / "docs" / file).read_bytes()) == pages.digest(shown)

    def test_every_run_that_is_stored_stands_on_a_page(self, packaged: list[Result]) -> None:
        parts = [pages.parse(m[2]) for m in pages.PART.finditer(PAGES["docs/results.md"])]
        shown = {id(r) for p in parts if p.name in ("cells", "games") for r in p.runs(packaged)}
        assert [(*r.cell, r.seed) for r in packaged if id(r) not in shown] == []


class TestParts:
    def test_between_marks_only(self) -> None:
        text = "a\n<!-- results: cost -->\nold\n<!-- end of results -->\nb\n"
        new = pages.rewritten(text, "README.md", [])
        assert new == text.replace("old\n", f"\n{tables.NOTHING}\n")
        assert pages.rewritten(new, "README.md", []) == new

    def test_runs_are_chosen_by_words(self) -> None:
        other = runs(settings={**defaults("trpo", "single_path", "Hopper-v4"), "discount": 0.9})
        found = [*runs(), *other, *runs(env="Hopper-v5"), *runs(total_steps=3_000_000)]
        for words, count in [
            ("cells", 12), ("cells version=v4", 9), ("cells steps=3000000", 3),
            ("cells rule=npg", 0),
            ("cells version=v4 steps=1000000 settings=defaults", 3),
            ("cells settings=offered", 9), ("cells settings=other", 3),
        ]:  # fmt: skip
            assert len(pages.parse(words).runs(found)) == count, words

    def test_what_is_offered_is_the_defaults_and_what_was_tuned(self) -> None:
        tuned = settings_of(configured("algo=npg", f"env={PENDULUM}", "tuned=mujoco"))
        found = runs(env=PENDULUM, algo="npg", settings=tuned)
        assert pages.parse("cells settings=offered").runs(found) == found
        assert not pages.parse("cells settings=other").runs(found)

    @pytest.mark.parametrize(
        "text", ["cels", "cells stps=1", "figure", "cells file.png", "cells settings=default"]
    )
    def test_what_there_is_not_is_refused(self, text: str) -> None:
        with pytest.raises(UserError, match="results: "):
            pages.parse(text)


class TestTables:
    def test_a_cell_beside_what_was_published(self) -> None:
        text = tables.cells(runs((3000.0, 3100.0, 3200.0)))
        (line,) = [x for x in text.splitlines() if x.startswith("| Hopper-v4")]
        _, env, rule, count, sampled, published, likely, beside, _ = map(str.strip, line.split("|"))
        assert (env, rule, count) == ("Hopper-v4", "trpo", "3")
        # t with 2 degrees of freedom is 4.303 at 97.5%: 100 * 4.303 / sqrt(3) = 248.
        assert sampled == f"3,100 ± 100 [2,852, 3,348] {tables.CLEAR}"
        assert published.startswith("2,046 ± 1,038 (1)")
        # 100 more with the most likely actions is less than sb3-contrib's 3372 +- 215.
        assert likely == "3,200 ± 100 [2,952, 3,448]" and beside.startswith("3,372 ± 215 (2)")
        assert "\n1. Tianshou" in text and "\n2. sb3-contrib" in text

    def test_a_mean_whose_interval_reaches_below_has_another_mark(self) -> None:
        text = tables.cells(runs((1500.0, 2300.0, 3100.0)))
        assert f"2,300 ± 800 [313, 4,287] {tables.HIGHER} " in text

    def test_the_same_number_is_neither(self) -> None:
        usual = {"env": "InvertedPendulum-v4"}
        text = tables.cells(runs((1000.0, 1000.0, 1000.0), **usual))
        assert f"1,000 ± 0 [1,000, 1,000] {tables.EQUAL} | 1,000 ± 0 (1)" in text

    def test_version_5_is_another_task(self) -> None:
        text = tables.cells(runs((3000.0, 3100.0, 3200.0), env="Hopper-v5"))
        assert "Tianshou" not in text and tables.CLEAR not in text

    def test_other_settings_have_a_letter(self) -> None:
        other = runs(settings={**defaults("trpo", "single_path", "Hopper-v4"), "discount": 0.9})
        text = tables.cells([*runs(), *other])
        assert "| trpo | 3 |" in text and "| trpo [a] | 3 |" in text
        assert "- [a] `discount=0.9`" in text

    def test_the_largest_of_all_updates(self) -> None:
        found = [*runs(), result(7, kl_share=0.5, normalizer_kl=(0.003, 2e-6))]
        lines = tables.bounds([*found, result(8, algo="ppo", kl_share=None)]).splitlines()
        assert lines[2:] == ["| trpo | 4 | 1,956 | 0.999800 | 3.0e-03 | 2.0e-06 |"]

    def test_hours_are_those_of_the_processor_where_they_were_measured(self) -> None:
        found = [result(0, cpu_seconds=7200.0), result(1, cpu_seconds=None, seconds=3600.0)]
        text = tables.cost(found)
        assert "- 3.0 core hours" in text and "of 1 runs the clock" in text
        assert "- 2 runs, 2 million steps" in text

    def test_who_is_ahead(self) -> None:
        npg = runs((100.0, 110.0, 120.0), algo="npg",
                   settings=defaults("npg", "single_path", "Hopper-v4"))  # fmt: skip
        text = tables.verdicts([*runs(), *npg])
        assert text.startswith("- On Hopper-v4 trpo has the highest mean, 1,000 ± 100")

    def test_games_beside_what_was_published_after_more_frames(self) -> None:
        usual = {"env": PONG, "total_steps": 2_000_000}
        ppo = runs(
            (-20.0, -10.0), algo="ppo", settings=defaults("ppo", "single_path", PONG), **usual
        )
        trpo = runs((-15.0,), settings=defaults("trpo", "single_path", PONG), **usual)
        head, _, line = (
            [cell.strip() for cell in x.split("|")[1:-1]]
            for x in games.games([*ppo, *trpo]).splitlines()
        )
        assert dict(zip(head, line, strict=True)) == {
            "game": "Pong",
            "trpo, 8M frames": "-15",
            "ppo, 8M frames": "-15 ± 7.07",  # 10 / sqrt(2)
            "TRPO paper, 200M frames": "20.9",
            "TRPO paper, vine, 800M frames": "20.9",
            "TRPO, POP3D paper, 40M frames": "19.6",
            "PPO, CleanRL, 40M frames": "20.4",
            "random": "-20.4",
            "human": "-3",
        }

    def test_what_was_tried(self) -> None:
        """Means over seeds, the best of a rule and its steps in bold."""
        one = Trial("Hopper-v4", "ppo", "single_path", 3000, "", "a", 1000, 100.0, 0, 0, "", "")
        other = dataclasses.replace(one, changes="algo.epochs=4", settings="b", final=150.0)
        found = [one, dataclasses.replace(one, seed=1001, final=300.0), other]
        found.append(dataclasses.replace(one, env="Ant-v4"))
        lines = tables.trials(found).splitlines()
        assert lines[0] == "| rule | steps | settings | Ant-v4 | Hopper-v4 |"
        assert lines[2:] == [
            "| ppo | 3,000 | defaults | **100 (1)** | **200 (2)** |",
            "| ppo | 3,000 | `algo.epochs=4` |  | 150 (1) |",
        ]
        chosen = pages.parse("trials env=Ant-v4").trials(found)
        assert [t.env for t in chosen] == ["Ant-v4"]

    def test_the_short_table_has_the_defaults_only(self) -> None:
        other = runs(settings={**defaults("trpo", "single_path", "Hopper-v4"), "discount": 0.9})
        text = tables.short([*runs(), *runs(env="Ant-v4"), *other])
        assert text.count("1,000 ± 100") == 2 and "3 seeds" in text


def test_a_figure_knows_its_runs() -> None:
    found = runs()
    png = pages.picture(found)
    assert pages.comment_of(png) == pages.digest(found)
    changed = [*found[1:], result(0, 900.0, sampled=Evaluation(1.0, 1.0, 100))]
    assert pages.digest(changed) != pages.digest(found)
    assert pages.digest(found[::-1]) == pages.digest(found)


@pytest.mark.slow
def test_environments_share_their_defaults() -> None:
    """Which `defaults` takes from one of them."""
    cells = [
        named(
            ["vpg,npg,trpo,ppo", "Ant-v4,Humanoid-v5,Reacher-v4,CartPole-v1,Swimmer-v4,Swimmer-v5"]
        )
    ]
    for rule in cells[0].rules:
        for env in cells[0].envs:
            whole = settings_of(configured(f"algo={rule}", "sampler=single_path", f"env={env}"))
            assert defaults(rule, "single_path", env) == whole
