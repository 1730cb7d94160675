"""States of parts in one flat state and back."""

from trpo_cli.data.states import join, part

PARTS = {"adam": {"mean": 1, "square": 2}, "adam2": {"mean": 3}, "simulator/1": {"a/b": 4}}


def test_the_keys_of_a_part_begin_with_its_name():
    found = {"adam/mean": 1, "adam/square": 2, "adam2/mean": 3, "simulator/1/a/b": 4}
    assert join(PARTS) == found


def test_each_part_comes_back():
    assert {name: part(join(PARTS), name) for name in PARTS} == PARTS
    assert part(join(PARTS), "ada") == {}
