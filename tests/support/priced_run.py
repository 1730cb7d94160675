"""A run that takes no time: what it is worth is a function of its settings.

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

from trpo_cli.sweeps.lifeline import end_with_parent

STEPS = 1000


def worth(learning_rate: float, seed: int) -> float:
    return 100.0 - 10.0 * (np.log10(learning_rate) + 3.0) ** 2 + seed


def run(what: dict[str, Any]) -> None:
    folder = Path(what["folder"])
    settings = dict(text.split("=") for text in what["overrides"])
    if float(settings.get("fail", 0)):
        print("trpo-run: it burned.")
        sys.exit(3)
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


if __name__ == "__main__":
    end_with_parent()
    run(json.loads(sys.argv[1]))
