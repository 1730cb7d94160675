"""Kill, damage and start runs at random, and look whether anything was lost or went unnoticed.

    python scripts/chaos.py --seed 1 --kills 500 --mutations 1000 --starts 100

kills      SIGKILL at a random moment of a run, an evaluation, a sweep, a search or a resumption,
           again and again until it has ended: it must be, to the bit, what nobody killed.
mutations  One file of a run directory is damaged: each command must answer as if nothing had
           happened, say what it passed over, or refuse in one paragraph and change nothing.
damages    The same of what a sweep or a search knows of its runs: sweep.json, tune.json and the
           journal.
starts     Three runs begin in one folder at once: one trains, the others are refused.

It works in a temporary folder, which stays when something failed. What a try does is drawn from the
seed and its number; the moment of a kill depends on the machine too. Returns 1 after a failure.
Runs are forked from this process, which has no threads, and has imported and compiled everything.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import trpo_cli.training.loop  # noqa: E402, F401  a child has it then
from chaos_parts.indices import damaged  # noqa: E402
from chaos_parts.many import killed_search, killed_sweep  # noqa: E402
from chaos_parts.mutations import mutation  # noqa: E402
from chaos_parts.runs import killed_run, simultaneous_starts  # noqa: E402
from chaos_parts.tries import CASES, Campaign  # noqa: E402

ENOUGH = 20
"""Failures after which nothing begins: each may leave processes behind."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=50, help="at least (50)")
    parser.add_argument("--mutations", type=int, default=100, help="damaged files (100)")
    parser.add_argument("--damages", type=int, default=10, help="of sweeps and searches (10)")
    parser.add_argument("--starts", type=int, default=10, help="rounds of three at once (10)")
    parser.add_argument("--sweeps", type=int, default=2, help="sweeps among the kills (2)")
    parser.add_argument("--searches", type=int, default=1, help="searches among the kills (1)")
    parser.add_argument("--case", action="append", choices=CASES, help="of these runs only (all)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin nothing after that (60)")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="trpo_cli_chaos_"))
    os.environ["XDG_STATE_HOME"] = str(folder)
    campaign = Campaign(folder, args.seed, args.case or list(CASES))
    until = time.monotonic() + 60.0 * args.minutes

    goals = {
        "start": (args.starts, simultaneous_starts),
        "mutation": (args.mutations, mutation),
        "damage": (args.damages, damaged),
        "sweep": (args.sweeps, killed_sweep),
        "search": (args.searches, killed_search),
        "run": (args.kills, killed_run),
    }
    made = Counter(dict.fromkeys(goals, 0))
    while time.monotonic() < until and len(campaign.failures) < ENOUGH:
        done = {**made, "run": campaign.tried("kills")}
        left = {kind: done[kind] / goal for kind, (goal, _) in goals.items() if done[kind] < goal}
        if not left:
            break
        kind = min(left, key=lambda kind: left[kind])  # all kinds get on alike
        campaign.attempt(kind, made[kind], goals[kind][1])
        made[kind] += 1
    for kind, count in sorted(campaign.tries.items()):
        print(f"{count:6} {kind}")
    kinds = ("kills", "mutations", "damages", "simultaneous starts")
    said = (f"{campaign.tried(kind)} {kind}" for kind in kinds)
    print(f"seed {args.seed}: {', '.join(said)}: {len(campaign.failures)} failures")
    if campaign.failures:
        print(*campaign.failures, sep="\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
