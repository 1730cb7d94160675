"""Everything worth knowing of trpo_cli on a machine with a GPU, by one command, in 8 minutes.

    python scripts/gpu.py --out gpu.json                # all parts, within 460 seconds
    python scripts/gpu.py --only correct memory         # these, which then share the time
    python scripts/gpu.py --dry-run                     # the same code on a CPU, tiny, 20 seconds
    python scripts/gpu.py --dry-run --warp              # and on MuJoCo Warp, whose kernels compile

facts       GPU, driver, versions of libraries, cores.
correct     Against the CPU, in float32 without TF32: outputs, products with the Jacobian, Fisher
            products, entropies, KL; what an iteration of every rule makes of the same trajectories.
learn       CartPole with ppo and trpo until ten episodes in a row have a mean return of 450; Pong
            with ppo for as long as there is time: its rise is told, not judged.
updates     Milliseconds of PPO, TRPO and the value fit on half a million samples on the GPU itself,
            with minibatch steps captured in a CUDA graph and launched one by one: both do the same.
kernels     How long it takes until MuJoCo Warp runs for the first time.
memory      The most that updates of growing batches hold, and whether later iterations hold more.
throughput  Steps per second of whole iterations, and milliseconds by phase: MuJoCo tasks on MuJoCo
            Warp, with and without CUDA graphs, and on the CPU's cores; Atari games with the
            networks on either; the emulator alone with random actions.
profile     The share of the time in which the GPU works, by phase; the longest kernels and gaps.
returns     What ppo and trpo learn on MuJoCo Warp in 45 seconds: returns by steps and by seconds.

A part has a share of the time (`--seconds`) and is cut off at its end. What is left of it goes to
those behind. The file that `--out` names is written after every case: it says what was not run, and
has the traceback of what failed. The last thing printed is a table. The exit status is 1 where
something failed. The package need not be installed: PYTHONPATH may name the checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # small matrices: more threads only wait for each other
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu_parts import (  # noqa: E402
    correct,
    facts,
    kernels,
    learn,
    memory,
    profile,
    returns,
    throughput,
    updates,
)
from gpu_parts.plan import Case, Found, Plan, Skipped  # noqa: E402
from gpu_parts.report import Report  # noqa: E402

PARTS = {
    "facts": (facts.cases, 2),
    "correct": (correct.cases, 45),
    "learn": (learn.cases, 25),
    "updates": (updates.cases, 12),
    "kernels": (kernels.cases, 40),
    "memory": (memory.cases, 15),
    "throughput": (throughput.cases, 90),
    "profile": (profile.cases, 15),
    "returns": (returns.cases, 240),
}
"""What makes a part's cases, and its share of the time."""
GRACE = 5.0
"""Seconds that a case which looks at the clock itself may take to end."""


class CutOff(BaseException):
    """A part's time is over; no Exception, so that nothing takes it for a failure of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    plan = Plan("cpu" if args.dry_run else "cuda", args.dry_run, args.warp or not args.dry_run)
    report = Report(args.out, args.only, {"command": sys.argv[1:], "seconds": args.seconds})
    end = time.monotonic() + args.seconds
    for number, name in enumerate(args.only):
        rest = sum(PARTS[other][1] for other in args.only[number:])
        share = (end - time.monotonic()) * PARTS[name][1] / rest
        run(name, plan.limited(share), report)
    print(report.table())
    return 1 if report.failed else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", type=float, default=460.0, help="for all parts (460)")
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--warp", action="store_true", help="in a dry run, too")
    args = parser.parse_args(argv)
    if args.seconds <= 0:
        parser.error("--seconds must be more than 0.")
    if not args.dry_run:
        import torch

        if not torch.cuda.is_available():
            parser.error(f"torch {torch.__version__} finds no GPU here. Try --dry-run.")
    return args


def run(part: str, plan: Plan, report: Report) -> None:
    """All cases of a part for which there is time."""
    with report.part(part) as found:
        for case in PARTS[part][0](plan):
            if plan.left <= 0.0:
                found[case.name] = {"status": "not run"}
                continue
            print(f"{part}: {case.name}", file=sys.stderr, flush=True)
            found[case.name] = here = Found(status="running")
            report.save()  # should it be killed
            attempt(case, plan, here)
            report.save()


def attempt(case: Case, plan: Plan, found: Found) -> None:
    """One case. found: gets what it finds, how it ended and how long it took."""
    began = time.monotonic()
    try:
        with cut_off(plan.left + GRACE):
            case.run(plan, found)
        found["status"] = "failed" if found.get("wrong") else "ok"
    except CutOff:
        found["status"] = "cut off"
    except Skipped as reason:
        found.update(status="skipped", line=str(reason))
    except Exception as error:
        found.update(status="failed", line=f"{type(error).__name__}: {error}")
        found["traceback"] = traceback.format_exc()
    found["took"] = time.monotonic() - began


@contextlib.contextmanager
def cut_off(seconds: float) -> Iterator[None]:
    """Raises `CutOff` inside when the time is over."""

    def over(*_: Any) -> None:
        raise CutOff

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main())
