"""When the GPU works, and when it waits, by torch's profiler."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from gpu_parts.plan import Case, Found, Plan, needs, needs_warp, sized, synchronize

ITERATIONS, WARM_UP, LONGEST = 2, 2, 10
WARP = ("mujoco_warp",)
SETTINGS = {
    "HalfCheetah ppo on Warp": (sized("ppo", "HalfCheetah-v5", 4096, 16), WARP),
    "HalfCheetah trpo on Warp": (sized("trpo", "HalfCheetah-v5", 4096, 16), WARP),
    "HalfCheetah ppo": (sized("ppo", "HalfCheetah-v5", 64, 128), ("mujoco",)),
    "HalfCheetah trpo": (sized("trpo", "HalfCheetah-v5", 64, 128), ("mujoco",)),
    "Pong ppo": (sized("ppo", "ALE/Pong-v5", 64, 128), ("ale_py", "cv2")),
    "Pong trpo": (sized("trpo", "ALE/Pong-v5", 64, 128), ("ale_py", "cv2")),
}
TINY = ["sampler.num_envs=2", "sampler.steps_per_env=8"]
PREFIX = "phase: "
Span = tuple[float, float, str]
"""Begin and end in microseconds, and a name."""


def cases(plan: Plan) -> list[Case]:
    names = plan.pick(list(SETTINGS), ["HalfCheetah trpo on Warp", "HalfCheetah trpo"])
    return [Case(name, partial(profile, name)) for name in names]


def profile(name: str, plan: Plan, found: Found) -> None:
    settings, modules = SETTINGS[name]
    needs(*modules)
    if modules == WARP:
        needs_warp(plan)
        settings = [*settings, "env.backend=warp"]
    with plan.training(*settings, *plan.pick([], TINY)) as training:
        for _ in range(plan.pick(WARM_UP, 1)):
            training.iterate()
        found["seconds_unprofiled"] = iterations(training, plan)
        training.clock = PhaseClock(training.clock)  # type: ignore[assignment]
        activities = [torch.profiler.ProfilerActivity.CPU]
        if plan.device == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=activities) as profiler:
            found["seconds"] = iterations(training, plan)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    # A dry run has no kernels, and looks at torch's operations instead.
    work = ("kernel", "gpu_memcpy", "gpu_memset") if plan.device == "cuda" else ("cpu_op",)
    found.update(analysis(spans(events, work), spans(events, ("user_annotation",), PREFIX)))
    busy = {phase: f"{100 * part['busy']:.0f} %" for phase, part in found["phases"].items()}
    shares = ", ".join(f"{phase} {share}" for phase, share in busy.items())
    found["line"] = f"busy {100 * found['busy']:.0f} % of {found['seconds']:.2f} s: {shares}"


def iterations(training: Any, plan: Plan) -> float:
    """How long some take, seconds."""
    synchronize(plan)
    began = time.perf_counter()
    for _ in range(plan.pick(ITERATIONS, 1)):
        training.iterate()
    synchronize(plan)
    return time.perf_counter() - began


class PhaseClock:
    """A training's clock that also tells the profiler when a phase begins and ends."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        with torch.profiler.record_function(PREFIX + phase), self._clock(phase):
            yield


def spans(events: Sequence[dict[str, Any]], kinds: Sequence[str], prefix: str = "") -> list[Span]:
    """Those events of a trace, in the order of their beginnings."""
    return sorted(
        (event["ts"], event["ts"] + event["dur"], event["name"].removeprefix(prefix))
        for event in events
        if event.get("cat") in kinds and event["name"].startswith(prefix)
    )


def merged(work: Sequence[Span]) -> list[Span]:
    """Without overlaps: each names what ends it."""
    found: list[Span] = []
    for begin, end, name in work:
        if found and begin <= found[-1][1]:
            first, last, its = found[-1]
            found[-1] = (first, max(last, end), name if end > last else its)
        else:
            found.append((begin, end, name))
    return found


def analysis(work: Sequence[Span], phases: Sequence[Span]) -> dict[str, Any]:
    """busy: the share of the time from the first phase's beginning to the last one's end in which
    something of the work runs, and the same by phase; kernels: the longest altogether; gaps: the
    longest in which nothing runs, all in microseconds."""
    busy = merged(work)
    begin, end = phases[0][0], max(last for _, last, _ in phases)
    spent: dict[str, float] = defaultdict(float)
    taken: dict[str, float] = defaultdict(float)
    for first, last, phase in phases:
        spent[phase] += last - first
        taken[phase] += _within(busy, first, last)
    totals: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for first, last, name in work:
        totals[name] += last - first
        counts[name] += 1
    gaps = [(b[0] - a[1], a, b) for a, b in pairwise(busy)]
    gaps.sort(key=lambda gap: -gap[0])
    return {
        "busy": _within(busy, begin, end) / (end - begin),
        "phases": {
            phase: {"milliseconds": spent[phase] / 1e3, "busy": taken[phase] / spent[phase]}
            for phase in spent
        },
        "launches": len(work),
        "kernels": [
            {"name": name, "microseconds": totals[name], "count": counts[name]}
            for name in sorted(totals, key=lambda name: -totals[name])[:LONGEST]
        ],
        "gaps": [
            {
                "microseconds": length,
                "after": a[2],
                "before": b[2],
                "phase": next((p for f, t, p in phases if f <= a[1] < t), "between phases"),
            }
            for length, a, b in gaps[:LONGEST]
        ],
    }


def _within(busy: Sequence[Span], begin: float, end: float) -> float:
    return sum(max(0.0, min(last, end) - max(first, begin)) for first, last, _ in busy)
