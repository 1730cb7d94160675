"""The figure of an environment's updates: a panel per measure that does anything."""

from __future__ import annotations

from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from trpo_cli.compare.charts import chart_of_measure
from trpo_cli.compare.groups import file_name
from trpo_cli.compare.panels import AXIS_WORDS, Panel, Plot, band, count, limits, line, spread_of
from trpo_cli.compare.results import EnvResult
from trpo_cli.compare.style import Look
from trpo_cli.compare.trust_region import MEASURES, Measure
from trpo_cli.compare.wording import number


def diagnostics(env: EnvResult, looked: dict[str, Look]) -> Plot:
    found = [m for m in MEASURES if any(m.name in g.panels for g in env.groups)]
    still = {m.name: value for m in found if (value := constant(env, m)) is not None}
    panels = [measure_panel(env, m, looked) for m in found if m.name not in still]
    caption = f"{env.env}, {count(env)}."
    if panels:
        caption += (
            " Mean over runs of each measure, averaged over stretches of training; shaded from the "
            "lowest run to the highest. A group without a line has no such measure."
        )
    if still:
        named = "; ".join(f"{name} ({number(value)})" for name, value in still.items())
        caption += f" Not drawn, for it is the same throughout: {named}."
    shown = {g.label: looked[g.label] for g in env.groups}
    title = f"Updates on {env.env}"
    return Plot(updates_name(env), title, caption, panels, shown, main=False)


def updates_name(env: EnvResult) -> str:
    return f"updates_{file_name(env.env)}"


def constant(env: EnvResult, measure: Measure) -> float | None:
    """The one value of a measure in all groups throughout, None where there are several."""
    found = [g.panels[measure.name] for g in env.groups if measure.name in g.panels]
    low, high = spread_of([end for p in found for end in (p.low, p.high)])
    return low if low == high else None


def measure_panel(env: EnvResult, measure: Measure, looked: dict[str, Look]) -> Panel:
    bands: list[Artist] = []
    lines: list[Line2D] = []
    seen = []
    for place, g in enumerate(env.groups):
        look, panel = looked[g.label], g.panels.get(measure.name)
        if panel is None:
            continue
        x = panel.places["steps"]
        bands.append(band(x, panel.low, panel.high, look))
        lines.append(line(x, panel.mean, look, 1.1, every=(2 + 3 * place % 8, 10)))
        seen.append(panel.mean)
        if measure is MEASURES[0] and "allowed" in g.panels:
            bound = g.panels["allowed"]
            dashed = Look(look.number, (2, 2), look.marker)
            lines.append(line(bound.places["steps"], bound.mean, dashed, 0.8))
            seen.append(bound.mean)
    low, high = spread_of(seen)
    log = measure.log and low > 0
    _, end = spread_of([m.get_xdata() for m in lines])
    return Panel(
        f"{measure.name} ({count(env)})",
        [*bands, *lines],
        AXIS_WORDS["steps"],
        measure.unit,
        (0.0, end * 1.02),
        limits(low, high, 0.25, log),
        log_y=log,
        chart=chart_of_measure(env, measure),
    )
