"""What a race says: a line for each look at a pair, and the sentences of its decision."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trpo_cli.compare.power import in_words, seeds_needed
from trpo_cli.compare.sequential import Design
from trpo_cli.compare.statistics import mean_interval
from trpo_cli.compare.wording import listed, number, p_value, spread
from trpo_cli.race.standing import Pair


def interim(pair: Pair, finals: Sequence[Sequence[float]], plan: Design) -> str:
    """One line on a pair at its last look."""
    n = pair.path.n
    means = [
        f"{cell.label} {spread(mean_interval(finals[cell.number][:n]))}"
        for cell in (pair.a, pair.b)
    ]
    state = "decided" if pair.order else "smaller than what matters"
    if not pair.settled:
        state = "; ".join(filter(None, ["open", more(pair, finals, plan)]))
    return (
        f"{where(pair)}{n} seeds each: {', '.join(means)}; {gap(pair)}, "
        f"p {p_value(pair.p_order, '= ')}: {state}"
    )


def more(pair: Pair, finals: Sequence[Sequence[float]], plan: Design) -> str:
    """How many runs would tell."""
    x, y = (finals[cell.number][: pair.path.n] for cell in (pair.a, pair.b))
    return in_words(seeds_needed(x, y, plan.alpha))


def where(pair: Pair) -> str:
    return f"{pair.a.env}, " if pair.a.env else ""


def gap(pair: Pair) -> str:
    """The difference, positive for the group that leads, and its interval."""
    d, sign = pair.path.estimate, 1.0 if pair.ahead[0] is pair.a else -1.0
    low, high = sorted((sign * d.low, sign * d.high))
    return f"difference {number(sign * d.value)} ({number(low)} to {number(high)})"


def decision(
    pairs: Sequence[Pair], finals: Sequence[Sequence[float]], plan: Design, why_not: str
) -> str:
    """The paragraph at the end. why_not: what ended the race where pairs are open."""
    sentences = [s for env in dict.fromkeys(p.a.env for p in pairs)
                 for s in _on_env([p for p in pairs if p.a.env == env], finals, plan)]  # fmt: skip
    head = "Decided" if all(p.settled for p in pairs) else f"Not decided: {why_not}"
    among = f" among the {len(pairs)} pairs" if len(pairs) > 1 else ""
    kinds = (
        "wrong order" if math.isnan(pairs[0].path.p_smaller) else "wrong decision of either kind"
    )
    return (
        f"{head}. {' '.join(sentences)} A {kinds}{among} has probability {plan.error_rate:.3g} at "
        "most, however often one looks; intervals hold at all looks together."
    )


def _on_env(pairs: Sequence[Pair], finals: Sequence[Sequence[float]], plan: Design) -> list[str]:
    on = f"On {pairs[0].a.env} " if pairs[0].a.env else "Here "
    found = []
    if len(pairs) > 1 and all(p.order for p in pairs):
        ahead = [p.ahead[0].label for p in pairs]
        names = dict.fromkeys(c.label for p in pairs for c in (p.a, p.b))
        ranked = sorted(names, key=lambda name: -ahead.count(name))
        found.append(f"{on}the order is {', '.join(ranked)}.")
    for pair in pairs:
        first, second = (cell.label for cell in pair.ahead)
        seeds = f"{pair.path.n} seeds each"
        limit = f"smaller than {number(pair.path.difference)}"
        if pair.order:
            also = f", {limit}" if pair.smaller else ""
            found.append(f"{on}{first} is ahead of {second}: {gap(pair)}{also}, {seeds}.")
        elif pair.smaller:
            found.append(
                f"{on}the difference between {listed([first, second])} is {limit}: {gap(pair)}, "
                f"{seeds}."
            )
        elif not pair.path.n:
            found.append(f"{on}{first} and {second} have not reached their first look.")
        else:
            needed = more(pair, finals, plan)
            found.append(
                f"{on}the order of {listed([first, second])} is open: {gap(pair)}, {seeds}"
                + (f"; {needed}." if needed else ".")
            )
    return found
