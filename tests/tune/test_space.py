import random

import pytest

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config.schema import all_options
from trpo_cli.config.settle import settle
from trpo_cli.errors import UserError
from trpo_cli.settings import walk
from trpo_cli.tune.space import SPACES, Choice, Interval, draw, find_space, override, parse_space


class Ends:
    """Draws the first or the last of everything."""

    def __init__(self, last):
        self.last = last

    def suggest_float(self, name, low, high, *, log):
        return high if self.last else low

    suggest_int = suggest_float

    def suggest_categorical(self, name, choices):
        return choices[-1 if self.last else 0]


def test_ranges_lists_and_what_yaml_takes_for_words():
    space = parse_space(
        "a: {low: 1e-5, high: 0.1, log: true}\nb: {low: 1, high: 8}\nc: [x, y]", "f"
    )
    assert space == [
        Interval("a", 1e-5, 0.1, True, False),
        Interval("b", 1, 8, False, True),
        Choice("c", ("x", "y")),
    ]
    assert draw(space, Ends(last=True)) == {"a": 0.1, "b": 8, "c": "y"}


def test_values_of_lists_are_written_as_on_a_command_line():
    (choice,) = parse_space("a: [null, true, [64, 64], 0.5, tanh]", "f")
    assert choice.ends() == ["null", "true", "[64,64]", "0.5", "tanh"]


def test_an_override_means_the_same_number():
    generator = random.Random(0)
    values = [generator.lognormvariate(0.0, 10.0) for _ in range(100)]
    for value in values:
        assert float(override("algo.max_kl", value).partition("=")[2]) == value
    for value in (min(values), max(values)):  # written with an exponent
        assert config_of("algo=trpo", override("algo.max_kl", value)).algo.max_kl == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no settings"),
        ("- a", "names no settings"),
        ("a: {low: 1", "cannot be read as YAML"),
        ("a: 3", "a: 3 is no range of values"),
        ("a: [3]", "nothing to choose"),
        ("a: {low: 1}", "a.high=None must be a number"),
        ("a: {low: x, high: 2}", "a.low=x must be a number"),
        ("a: {low: 1, high: .inf}", "a.high=inf must be a number"),
        ("a: {low: 2, high: 1}", "low must be smaller"),
        ("a: {low: 0, high: 1, log: true}", "must be above 0"),
        ("a: {low: 1, high: 2, log: 3}", "must be true or false"),
        ("a: {low: 1, hihg: 2}", "Did you mean high"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")) as error:
        parse_space(text, "my.yaml")
    assert "my.yaml" in str(error.value)


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("last", [False, True])
def test_our_own_spaces_fit_their_rules(path, last):
    assert path.stem in all_options()["algo"]
    drawn = draw(parse_space(path.read_text(), path.name), Ends(last))
    config = config_of(f"algo={path.stem}", *(override(k, v) for k, v in drawn.items()))
    found = {key: value for key, _, value in walk(settle(config, images=False))}
    for key, value in drawn.items():
        assert str(found[key]).replace(" ", "") == str(value)


def test_a_rule_without_a_space_says_so(tmp_path):
    with pytest.raises(UserError, match=r"algo=other has no search space.*ppo"):
        find_space(None, "other")
    with pytest.raises(UserError, match="there is no such file"):
        find_space(str(tmp_path / "none.yaml"), "ppo")
