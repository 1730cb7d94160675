"""What `trpo-eval`, `trpo-export` and `trpo-compare` say before they look at anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trpo_cli.commands import compare, evaluate, export


@pytest.mark.parametrize(
    ("main", "line", "words"),
    [
        (evaluate.main, "--episodez=3", "--episodez=3. Did you mean --episodes?"),
        (evaluate.main, "nowhere --episodez=3 --seed=x", "--episodez=3. Did you mean --episodes?"),
        (evaluate.main, "--episodes", "--episodes: expected one argument"),
        (evaluate.main, "-- --episodez", "--episodez"),
        (export.main, "nowhere --formatt=npz", "--formatt=npz. Did you mean --format?"),
        (compare.main, "--byy=3", "--byy=3. Did you mean --by?"),
        (compare.main, "--by=seed", "required: DIR"),
        (compare.main, "runs --videos --no-files", "--videos shows videos on the page"),
    ],
)
def test_a_flag_that_does_not_exist_is_told_first(
    main: Callable[[list[str]], int], line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
