"""Guaranteed improvement on a tabular Markov decision process, and what it costs.

Four rules start from the uniform policy, and each solves its problem exactly in every iteration:

    conservative   (1 - alpha) old + alpha greedy, alpha from the bound of Kakade and Langford 2002
    algorithm 1    maximise L - C max D_KL(old || new), C = 4 epsilon gamma / (1 - gamma)^2
    max KL         maximise L subject to max D_KL(old || new) <= --max-kl
    mean KL        maximise L subject to the mean of D_KL over the states visited <= --max-kl (TRPO)

The first two can never lower the performance eta. The others may, and are much faster. The second
table checks the identity and the bounds behind them on random pairs of policies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from trpo_cli.errors import UserError
from trpo_cli.lab.divergences import kl, total_variation
from trpo_cli.lab.findings import Findings, Table
from trpo_cli.lab.gain_descent import first_at
from trpo_cli.lab.improvement import (
    algorithm_1,
    conservative,
    max_kl_step,
    mean_kl_step,
    within_each_state,
)
from trpo_cli.lab.options import number, whole
from trpo_cli.lab.tabular import (
    MDP,
    advantages,
    divergence_bound,
    drift_bound,
    optimal_performance,
    penalty,
    performance,
    performance_difference,
    random_mdp,
    random_policy,
    state_distributions,
    surrogate,
    uniform_policy,
    variation_bound,
)

PAIRS = 200
"""Random pairs of policies that the bounds are checked on."""
STEPS = 50
"""Steps over which the drift of the states is looked at."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--states", type=whole(2, 500), default=20, help="of a random MDP (20)")
    add("--actions", type=whole(2, 100), default=4, help="of it (4)")
    add("--branching", type=whole(1, 500), default=3, help="states that an action may lead to (3)")
    add("--discount", type=number(above=0, below=1), default=0.8, help="gamma (0.8)")
    add("--seed", type=whole(0), default=0, help="of the MDP and of the random policies (0)")
    add("--iterations", type=whole(1, 100_000), default=100, help="of each rule (100)")
    add("--max-kl", type=number(above=0), default=0.01, help="of the last two rules, nats (0.01)")


def compute(args: argparse.Namespace) -> Findings:
    """Every rule from the uniform policy; the identity and the bounds on random pairs."""
    if args.branching > args.states:
        raise UserError(
            f"--branching {args.branching} is more than there are states ({args.states}); give at "
            "most that."
        )
    mdp = random_mdp(args.states, args.actions, args.discount, args.seed, args.branching)
    rules: dict[str, Callable[[MDP, np.ndarray], np.ndarray]] = {
        "conservative": conservative,
        "algorithm 1": algorithm_1,
        "max KL": lambda m, p: max_kl_step(m, p, args.max_kl),
        "mean KL": lambda m, p: mean_kl_step(m, p, args.max_kl),
    }
    paths = {name: improve(mdp, rule, args.iterations) for name, rule in rules.items()}
    best = optimal_performance(mdp)
    first = performance(mdp, uniform_policy(mdp))
    ways = {name: (path["eta"] - first) / (best - first) for name, path in paths.items()}
    rows = []
    for name, path in paths.items():
        way, least_gain = ways[name], float(np.diff(path["eta"]).min())
        reached = [float(way[-1]), first_at(-way, -0.5), first_at(-way, -0.9)]
        rows.append([name, *reached, least_gain, float(path["slack"].min()), float(path["kl"][0])])
    columns = ["rule", "way to optimum", "to 50%", "to 90%", "least gain", "eta - bound"]
    columns += ["first KL"]
    c = penalty(mdp, uniform_policy(mdp))
    title = (
        f"{args.iterations} iterations on {args.states} states, {args.actions} actions, discount "
        f"{args.discount:g}; at first C = {c:.4g}"
    )
    tables = [Table(title, columns, rows), check(mdp, args.seed)]
    note = (
        "least gain: of eta in one iteration. eta - bound: its least distance above L - C max KL."
    )
    return Findings(tables, [note], {"ways": ways, "image": along(mdp)})


def improve(
    mdp: MDP, rule: Callable[[MDP, np.ndarray], np.ndarray], iterations: int
) -> dict[str, np.ndarray]:
    """eta (T + 1,), and for each step its largest divergence `kl` (T,) and the distance of eta
    above the bound L - C max KL, `slack` (T,)."""
    policy = uniform_policy(mdp)
    eta, largest, slack = [performance(mdp, policy)], [], []
    for _ in range(iterations):
        new = rule(mdp, policy)
        eta.append(performance(mdp, new))
        largest.append(float(kl(policy, new).max()))
        slack.append(eta[-1] - divergence_bound(mdp, policy, new))
        policy = new
    return {"eta": np.array(eta), "kl": np.array(largest), "slack": np.array(slack)}


def check(mdp: MDP, seed: int) -> Table:
    """The identity and the inequalities on `PAIRS` random pairs, near and far from each other."""
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for share in np.geomspace(1e-3, 1.0, PAIRS):
        old = random_policy(mdp, generator)
        new = (1.0 - share) * old + share * random_policy(mdp, generator)
        after, before = performance(mdp, new), performance(mdp, old)
        alpha = float(total_variation(old, new).max())
        drift = np.abs(state_distributions(mdp, new, STEPS) - state_distributions(mdp, old, STEPS))
        identity = after - before - performance_difference(mdp, old, new)
        note("eta' - eta = sum rho' pi' A, largest error", abs(identity))
        note("eta' - (L - C max TV^2), least", after - variation_bound(mdp, old, new))
        note("eta' - (L - C max KL), least", after - divergence_bound(mdp, old, new))
        slack = drift_bound(alpha, STEPS) - drift.sum(axis=1)
        note("2 (1 - (1 - TV)^t) - |p_t' - p_t|, least", float(slack.min()))
        pinsker = kl(old, new) / 2.0 - total_variation(old, new) ** 2
        note("KL / 2 - TV^2, least", float(pinsker.min()))
    rows = [
        [name, max(values) if "largest" in name else min(values)] for name, values in found.items()
    ]
    return Table(f"{PAIRS} random pairs of policies", ["check", "value"], rows)


def along(mdp: MDP) -> dict[str, np.ndarray]:
    """eta, L and the bound over the best policies of growing divergence d from the uniform one,
    relative to eta there; up to five times the d that maximises the bound."""
    old = uniform_policy(mdp)
    values = advantages(mdp, old)
    best = float(kl(old, algorithm_1(mdp, old)).max())
    d = np.linspace(0.0, np.sqrt(5.0 * best), 60)[1:] ** 2
    new = [within_each_state(old, values, float(x))[0] for x in d]
    before = performance(mdp, old)
    return {
        "d": d,
        "eta": np.array([performance(mdp, p) - before for p in new]),
        "L": np.array([surrogate(mdp, old, p) - before for p in new]),
        "bound": np.array([divergence_bound(mdp, old, p) - before for p in new]),
    }


def draw(findings: Findings, plt: Any) -> None:
    """Progress of each rule, and the minorisation that Algorithm 1 climbs."""
    from trpo_cli.lab.figures import COLOURS, look

    _, axes = plt.subplots(1, 2, figsize=(6.8, 3.0))
    for index, (name, way) in enumerate(findings.curves["ways"].items()):
        axes[0].plot(np.arange(1, len(way)), way[1:], **look(index), label=name)
    axes[0].set(
        xlabel="iteration", ylabel=r"share of the way to the optimum", title="Performance",
        xscale="log", ylim=(-0.03, 1.05),
    )  # fmt: skip
    axes[0].legend(loc="upper left")
    c = findings.curves["image"]
    names = (("eta", r"$\eta$"), ("L", "L"), ("bound", r"$L - C\,\max D_{KL}$"))
    for index, (key, label) in enumerate(names):
        style = look(index + 4)
        if key == "eta":  # lies behind L
            style |= {"linestyle": "-", "linewidth": 4.0}
        axes[1].plot(c["d"], c[key], **style, label=label)
    top = int(np.argmax(c["bound"]))
    axes[1].plot(c["d"][top], c["bound"][top], "o", color=COLOURS[6], markersize=5)
    axes[1].annotate(
        "Algorithm 1", (c["d"][top], c["bound"][top]), xytext=(0, -13),
        textcoords="offset points", ha="center", fontsize=8,
    )  # fmt: skip
    axes[1].axhline(0.0, color="black", linewidth=0.6)
    axes[1].ticklabel_format(axis="x", scilimits=(0, 0))
    axes[1].set(
        xlabel=r"$\max_s D_{KL}(\mathrm{old}\,\|\,\mathrm{new})$", ylabel="gain",
        title="First step: surrogate and bound",
    )  # fmt: skip
    axes[1].legend()
