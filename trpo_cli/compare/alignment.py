"""Numbers of a column under each other, at the decimal point."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

NUMBER = re.compile(r"(?:[<>] )?-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?%?|∞")
STARS = re.compile(r"( \*+)?$")


def aligned(cells: Sequence[str], blank: str = " ", small: str = " ") -> list[str]:
    """The cells with blanks inside, so that numbers in the same place have their points below each
    other: " 29.4 ± 2.4" above "471   ± 25". Cells of another form than most are left as they are.

    blank: as wide as a digit. small: as wide as a point or a comma.
    """
    split = [_split(cell) for cell in cells]
    forms = Counter(form for form, numbers, _ in split if numbers)
    if not forms:
        return list(cells)
    common = forms.most_common(1)[0][0]

    def fits(form: tuple[str, ...], numbers: list[str]) -> bool:
        """Also a part of the form: a mean without its deviation has no second number."""
        begins = form[:-1] == common[: len(form) - 1] and not form[-1]
        return bool(numbers) and (form == common or (len(form) < len(common) and begins))

    alike = [(numbers, stars) for form, numbers, stars in split if fits(form, numbers)]
    heads, tails = [], []
    for k in range(len(common) - 1):
        found = [numbers[k] for numbers, _ in alike if k < len(numbers)]
        heads.append(max(map(_head, found), key=len))
        tails.append(max(map(_tail, found), key=len))
    widest = max(len(stars) for _, stars in alike)

    def room(signs: str) -> str:
        return "".join(small if sign in ".," else blank for sign in signs)

    def fill(form: tuple[str, ...], numbers: list[str], stars: str) -> str:
        text = form[0]
        for k, number in enumerate(numbers):
            head, tail = _head(number), _tail(number)
            text += room(heads[k][: len(heads[k]) - len(head)]) + number
            text += room(tails[k][len(tail) :]) + form[k + 1]
        for k in range(len(numbers), len(heads)):
            text += blank * len(common[k]) + room(heads[k] + tails[k])
        return text + stars + blank * (widest - len(stars))

    return [
        fill(*parts) if fits(*parts[:2]) else cell for cell, parts in zip(cells, split, strict=True)
    ]


def _split(cell: str) -> tuple[tuple[str, ...], list[str], str]:
    """What stands between the numbers, the numbers, and stars behind them."""
    found = STARS.search(cell)
    stars = found[0] if found else ""
    body = cell[: len(cell) - len(stars)]
    return tuple(NUMBER.split(body)), NUMBER.findall(body), stars


def _head(number: str) -> str:
    return number.partition(".")[0]


def _tail(number: str) -> str:
    return number[len(_head(number)) :]
