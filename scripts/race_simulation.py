"""How a race decides where the truth is known: the tables of docs/race.md.

    python scripts/race_simulation.py --races 2000

Races of simulated runs, `trpo_cli/compare/sequential.py` looking at them as `--until-decided`
does, 20 seeds at most and an error rate of 5%. Half a minute of a core.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trpo_cli.compare.sequential import Design, decided, design, order_p, smaller_p

MOST, RATE, CHUNK = 20, 0.05, 100
FAILS = 0.3
"""Part of the runs of shape "failing" that learn nothing."""
GOOD = 5.0
"""What the others reach, in units of their deviation."""
SHAPES = ("normal", "exponential", "failing")

Floats = NDArray[np.float64]


def draw(rng: np.random.Generator, shape: str, size: tuple[int, ...]) -> Floats:
    """Runs with mean 0 and variance 1."""
    if shape == "exponential":
        return rng.exponential(size=size) - 1.0
    noise = rng.normal(size=size)
    if shape == "normal":
        return noise
    two = noise + GOOD * (rng.random(size) >= FAILS)
    spread = np.sqrt(1.0 + GOOD**2 * FAILS * (1.0 - FAILS))
    return np.asarray((two - GOOD * (1.0 - FAILS)) / spread)


@dataclass(frozen=True)
class Outcome:
    """order, x_leads, smaller: (races, pairs), what was decided at the end; seeds: (races,), runs
    made over the number of groups."""

    order: NDArray[np.bool_]
    x_leads: NDArray[np.bool_]
    smaller: NDArray[np.bool_]
    seeds: Floats


def race(samples: Floats, plan: Design, difference: ArrayLike = np.nan) -> Outcome:
    """samples: (races, groups, seeds). difference: that matters, of all races or (races,). Pairs in
    the order of itertools.combinations."""
    count, groups, _ = samples.shape
    pairs = list(itertools.combinations(range(groups), 2))
    shape = (len(plan.looks), count, len(pairs))
    p_order, p_smaller = np.ones(shape), np.full(shape, np.nan)
    leads = np.zeros(shape, dtype=bool)
    limits = np.broadcast_to(np.asarray(difference, dtype=np.float64), (count,))[:, None]
    for (k, n), (j, (a, b)) in itertools.product(enumerate(plan.looks), enumerate(pairs)):
        for at in range(0, count, CHUNK):
            rows = slice(at, at + CHUNK)
            x, y = samples[rows, a, :n], samples[rows, b, :n]
            p_order[k, rows, j] = order_p(x, y)
            leads[k, rows, j] = x.mean(axis=-1) > y.mean(axis=-1)
            if not np.isnan(limits).any():
                p_smaller[k, rows, j] = smaller_p(x, y, limits[rows])
    best = np.minimum.accumulate(p_order, axis=0)
    order_valid = np.minimum(1.0, len(plan.looks) * best)
    smaller_valid = np.minimum(1.0, len(plan.looks) * np.minimum.accumulate(p_smaller, axis=0))
    order, x_leads, smaller = np.zeros((3, count, len(pairs)), dtype=bool)
    seeds = np.zeros(count)
    for r in range(count):
        used = np.full(groups, plan.looks[-1])
        open_ = set(range(groups))
        for k, n in enumerate(plan.looks):
            marks = decided(order_valid[k, r], smaller_valid[k, r], plan.error_rate)
            for j, mark in enumerate(marks):
                if mark[0] and not order[r, j]:
                    x_leads[r, j] = leads[int(p_order[: k + 1, r, j].argmin()), r, j]
                order[r, j], smaller[r, j] = mark
            busy = {g for pair, mark in zip(pairs, marks, strict=True) if not any(mark)
                    for g in pair}  # fmt: skip
            for g in open_ - busy:
                used[g] = n
            open_ &= busy
        seeds[r] = used.mean()
    return Outcome(order, x_leads, smaller, seeds)


def fixed_power(samples: Floats, n: int) -> float:
    """How often Welch's test of n seeds each finds a difference, looking once."""
    from scipy import stats

    found = stats.ttest_ind(samples[:, 0, :n], samples[:, 1, :n], axis=1, equal_var=False)
    return float(np.mean(found.pvalue <= RATE))


def equal_means(rng: np.random.Generator, races: int) -> None:
    plan = design(MOST, 1, RATE)
    assert plan is not None
    print(f"Two groups of the same mean, {races:,} races, looks at {plan.looks}\n")
    print("| runs of both groups | wrong orders | wrong orders, level 5% at each look |")
    print("|---|---|---|")
    kinds = [(f"{s}, {s}", s, s, 1.0) for s in SHAPES]
    kinds += [
        ("normal, normal with 3 times the deviation", "normal", "normal", 3.0),
        ("normal, exponential of the same deviation", "normal", "exponential", 1.0),
        ("normal, failing with 3 times the deviation", "normal", "failing", 3.0),
    ]
    naive = Design(plan.looks, 1, min(1.0, RATE * len(plan.looks)))
    for words, first, second, spread in kinds:
        x, y = draw(rng, first, (races, MOST)), spread * draw(rng, second, (races, MOST))
        samples = np.stack([x, y], axis=1)
        wrong, looked = (race(samples, p).order.mean() for p in (plan, naive))
        print(f"| {words} | {wrong:.1%} | {looked:.1%} |", flush=True)
    four = design(MOST, 6, RATE)
    assert four is not None
    for shape in SHAPES:
        found = race(draw(rng, shape, (races, 4, MOST)), four)
        print(f"| four groups, {shape}: any of 6 pairs | {found.order.any(axis=1).mean():.1%} | |",
              flush=True)  # fmt: skip


def at_the_border(rng: np.random.Generator, races: int) -> None:
    plan = design(MOST, 1, RATE)
    assert plan is not None
    print('\nMeans that differ by just what matters (2 deviations): wrong "smaller"\n')
    print("| runs | wrong |\n|---|---|")
    for shape in SHAPES:
        samples = draw(rng, shape, (races, 2, MOST))
        samples[:, 0] += 2.0
        print(f"| {shape} | {race(samples, plan, 2.0).smaller.mean():.1%} |", flush=True)


def different_means(rng: np.random.Generator, races: int) -> None:
    plan = design(MOST, 1, RATE)
    assert plan is not None
    print("\nMeans that differ\n")
    print("| runs | difference in deviations | right | wrong | seeds each | 20 seeds: found | "
          "fixed number with the same power | saved |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    kinds = [("normal", d) for d in (0.75, 1.0, 1.5, 2.0, 3.0)]
    kinds += [("exponential", 1.5), ("exponential", 3.0), ("failing", 1.5), ("failing", 3.0)]
    for shape, shift in kinds:
        samples = draw(rng, shape, (races, 2, MOST))
        samples[:, 0] += shift
        found = race(samples, plan)
        right = float((found.order & found.x_leads).mean())
        wrong, seeds = float((found.order & ~found.x_leads).mean()), float(found.seeds.mean())
        powers = {n: fixed_power(samples, n) for n in range(3, MOST + 1)}
        same = next((n for n, power in powers.items() if power >= right), MOST)
        print(f"| {shape} | {shift:g} | {right:.0%} | {wrong:.1%} | {seeds:.1f} | "
              f"{powers[MOST]:.0%} | {same} | {1 - seeds / same:.0%}, "
              f"{1 - seeds / MOST:.0%} of 20 |", flush=True)  # fmt: skip


def no_difference(rng: np.random.Generator, races: int) -> None:
    plan = design(MOST, 1, RATE)
    assert plan is not None
    print("\nThe same mean, and a smallest difference that matters\n")
    print("| runs | what matters, in deviations | said to be smaller | seeds each |")
    print("|---|---|---|---|")
    for shape, matters in itertools.product(SHAPES, (1.5, 2.0, 3.0)):
        found = race(draw(rng, shape, (races, 2, MOST)), plan, matters)
        print(f"| {shape} | {matters:g} | {found.smaller.mean():.0%} | "
              f"{found.seeds.mean():.1f} |", flush=True)  # fmt: skip


def share_of_the_mean(rng: np.random.Generator, races: int) -> None:
    plan = design(MOST, 1, RATE)
    assert plan is not None
    print("\nThe same where what matters is 20% of the larger mean of the first look\n")
    print("| runs | wrong |\n|---|---|")
    for shape in SHAPES:
        samples = 8.0 + draw(rng, shape, (races, 2, MOST))
        samples[:, 0] += 2.0
        limits = 0.2 * np.abs(samples[:, :, : plan.looks[0]].mean(axis=-1)).max(axis=-1)
        said = race(samples, plan, limits).smaller[:, 0]
        print(f"| {shape} | {(said & (limits <= 2.0)).mean():.1%} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--races", type=int, default=2000, help="per condition (2000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    for table in (equal_means, at_the_border, different_means, no_difference, share_of_the_mean):
        table(rng, args.races)
    return 0


if __name__ == "__main__":
    sys.exit(main())
