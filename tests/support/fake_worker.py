"""A worker whose runs take no time: what a run is worth is a function of its settings.

worth = 100 - 10 (log10 lr + 3)^2 + seed; its curve rises evenly to that. `fail=1` fails, and
`wait=S` takes S seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from trpo_cli.sweeps.serve import serve

STEPS = 1000


def worth(learning_rate: float, seed: int) -> float:
    return 100.0 - 10.0 * (np.log10(learning_rate) + 3.0) ** 2 + seed


def run(message: dict[str, Any]) -> tuple[int, str]:
    folder = Path(message["folder"])
    settings = dict(text.split("=") for text in message["overrides"])
    if float(settings.get("fail", 0)):
        return 3, "it burned."
    time.sleep(float(settings.get("wait", 0)))
    final = worth(float(settings["lr"]), int(settings["seed"]))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("settings")
    rows = [
        {"step": step, "seconds": 1.0, "train/return_recent": final * step / STEPS}
        for step in range(100, STEPS + 1, 100)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluation = {"step": STEPS, "return_mean": final, "return_std": 0.0, "returns": [final]}
    (folder / "eval.jsonl").write_text(json.dumps(evaluation) + "\n")
    manifest = {"format": 1, "status": "finished", "step": STEPS}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return 0, ""


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    serve(run)
