"""What a comparison holds: every number of the report, in records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trpo_cli.compare.align import Floats
from trpo_cli.compare.groups import Group
from trpo_cli.compare.metric import Metric
from trpo_cli.compare.normalise import Scale
from trpo_cli.compare.power import Needed
from trpo_cli.compare.scores import Protocol
from trpo_cli.compare.statistics import ALPHA, Difference, Interval
from trpo_cli.compare.trust_region import Binned, Summary


@dataclass(frozen=True)
class Options:
    """axis: steps, seconds or updates. curve: the metric of the curves, None for the one that
    follows the policy best. thresholds: per environment id, or "" for all. normalise: human, range
    or "" for human where all environments have it."""

    axis: str
    curve: str | None
    thresholds: dict[str, float]
    normalise: str


@dataclass(frozen=True)
class Crossing:
    """Time to the threshold: median over runs (infinite: half of them did not get there), how
    many of the runs got there, and the end of the longest run, up to which it is known. No runs:
    their files do not tell the time."""

    median: float
    reached: int
    runs: int
    end: float


@dataclass(frozen=True)
class Drawn:
    """A group's curve along one axis, on one grid. x, mean, low, high: (points,), the last two the
    pointwise interval. curves: (runs, points). by_steps: averaged at the same steps, and x is where
    the runs were on average."""

    x: Floats
    curves: Floats
    mean: Floats
    low: Floats
    high: Floats
    by_steps: bool = False


@dataclass(frozen=True)
class GroupResult:
    """A group in one environment. curves: along each of `AXES`.
    finals, bests: one per run. area: mean height of the returns' curve over the range that all
    groups of the environment share. steps, seconds: to the threshold."""

    group: Group
    curves: Mapping[str, Drawn]
    finals: list[float]
    final: Interval
    best: Interval
    area: Interval
    steps: Crossing
    seconds: Crossing
    updates: Summary
    diagnosis: list[str]
    panels: dict[str, Binned]

    @property
    def env(self) -> str:
        return self.group.env

    @property
    def label(self) -> str:
        return self.group.label


@dataclass(frozen=True)
class Background:
    """Curves of other runs, drawn beside those that are compared and part of no statistics.
    curves: as of a group."""

    label: str
    curves: Mapping[str, Drawn]


@dataclass(frozen=True)
class EnvResult:
    """metric: of the curves that are drawn. returns: of everything else that is read off a curve.
    steps: how far the longest run got, at most its budget. groups: in the order of the labels.
    scale: None where all final scores are the same. background: of this task."""

    env: str
    metric: Metric
    returns: Metric
    steps: int
    threshold: float
    groups: list[GroupResult]
    scale: Scale | None
    background: Sequence[Background] = ()

    @property
    def drawn(self) -> list[GroupResult | Background]:
        """What has curves."""
        return [*self.groups, *self.background]


@dataclass(frozen=True)
class Pair:
    """a against b on one environment: difference of mean final performance; p: Welch's after
    Holm's correction over all pairs and environments; p_permutation: of the permutation test, as
    it is, and least: the smallest value it can have; detectable: what could have been found;
    needed: how many runs would tell the two apart."""

    env: str
    a: str
    b: str
    difference: Difference
    p: float
    p_permutation: float
    least: float
    detectable: float
    needed: Needed | None

    @property
    def likely(self) -> bool:
        """Welch's test with Holm's correction tells the means apart. It leans on normal runs:
        with three a side, and runs of which some fail outright, it errs in 8% of comparisons
        instead of 5% (tests/compare/test_coverage.py)."""
        return self.p <= ALPHA

    @property
    def clear(self) -> bool:
        """The permutation test, which assumes nothing about the runs, agrees. It cannot with three
        runs a side."""
        return self.likely and self.p_permutation <= ALPHA


@dataclass(frozen=True)
class Improvement:
    """P(a run of a exceeds a run of b), averaged over the environments that both have."""

    a: str
    b: str
    envs: int
    probability: Interval


@dataclass(frozen=True)
class Comparison:
    options: Options
    protocol: Protocol
    envs: list[EnvResult]
    labels: list[str]
    aggregate: dict[str, Interval]
    pairs: list[Pair]
    improvements: list[Improvement]
    notes: list[str]

    @property
    def fewest(self) -> int:
        return min(len(g.group.runs) for e in self.envs for g in e.groups)

    @property
    def runs(self) -> int:
        return sum(len(g.group.runs) for e in self.envs for g in e.groups)

    def in_words(self, what: Callable[[EnvResult], str]) -> str:
        """Words on each environment, once where they are the same on all."""
        said: dict[str, list[str]] = {}
        for env in self.envs:
            said.setdefault(what(env), []).append(env.env)
        if len(said) == 1:
            return next(iter(said))
        return "; ".join(f"{words} ({', '.join(envs)})" for words, envs in said.items())
