"""Iterations of several configurations, by all processes that a launcher started.

    python -m torch.distributed.run --nproc-per-node=2 -m tests.support.processes_worker CASES OUT

CASES is JSON: name -> [overrides, iterations]. The first process pickles to OUT what `outcome`
gives for each of them.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import running
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.distributed.processes import ALONE, Processes, join
from trpo_cli.training.trainer import Training


def outcome(overrides: list[str], iterations: int, processes: Processes = ALONE) -> dict[str, Any]:
    """The rows of metrics, and the state after them."""
    training = Training(config_of(*overrides), processes)
    try:
        if not processes.is_main:
            training.follow()
            return {}
        rows = [running.untimed(training.iterate()) for _ in range(iterations)]
        arrays, state = training.state()
        return {
            "rows": rows,
            "arrays": {key: numpy(value) for key, value in arrays.items()},
            "generators": state["generators"],
            "recent": state["recent"],
        }
    finally:
        training.close()


def numpy(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy().copy() if hasattr(x, "detach") else np.array(x)


def main(cases: str, out: str) -> None:
    processes = join()
    found = {}
    for name, (overrides, iterations) in json.loads(Path(cases).read_text()).items():
        found[name] = outcome(overrides, iterations, processes)
    if processes.is_main:
        Path(out).write_bytes(pickle.dumps(found))
    processes.leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
