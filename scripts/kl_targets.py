"""Draw how runs of ppo_penalty and dual hold their KL: policy/kl per update beside the target, and
the coefficient that holds it.

    trpo-run -m algo=ppo_penalty,dual env=Hopper-v4 seed=0,1 total_steps=200000 \\
        hydra.sweep.dir=outputs/kl_targets
    python scripts/kl_targets.py outputs/kl_targets/[0-9] --out docs/kl_targets.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

RULES = {  # rule -> its target, its coefficient in the metrics, and what the coefficient is called
    "ppo_penalty": ("kl_target", "policy/kl_coef", "beta"),
    "dual": ("max_kl", "policy/multiplier", "lambda"),
}
WINDOW = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--out", type=Path, default=Path("kl_targets.png"))
    args = parser.parse_args()
    runs: dict[str, list[Path]] = {rule: [] for rule in RULES}
    for folder in args.runs:
        if not (folder / "config.yaml").is_file():
            parser.error(f"{folder} is no run directory: it has no config.yaml")
        rule = settings(folder)["algo"]["name"]
        if rule not in runs:
            parser.error(f"{folder} is a run of {rule}, which has no KL target")
        runs[rule].append(folder)
    draw({rule: folders for rule, folders in runs.items() if folders}, args.out)
    return 0


def settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return found


def draw(runs: dict[str, list[Path]], out: Path) -> None:
    """A column per rule: KL above, coefficient below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, len(runs), figsize=(4.8 * len(runs), 5.4), squeeze=False, sharex=True, sharey="row"
    )
    for column, (rule, folders) in enumerate(runs.items()):
        key, coefficient, name = RULES[rule]
        above, below = axes[:, column]
        for number, folder in enumerate(folders):
            config = settings(folder)
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            steps = np.array([row["step"] for row in rows]) / 1e3
            kl = np.array([row["policy/kl"] for row in rows])
            smooth = np.convolve(kl, np.full(WINDOW, 1.0 / WINDOW), mode="valid")
            color, target = f"C{number}", config["algo"][key]
            above.plot(steps, kl, color=color, alpha=0.25, linewidth=0.7)
            above.plot(steps[WINDOW - 1 :], smooth, color=color, label=f"seed {config['seed']}")
            below.plot(steps, [row[coefficient] for row in rows], color=color)
            within = f"{rule} {folder}: mean KL {kl.mean():.4f}, target {target}"
            print(f"{within}, second half {kl[len(kl) // 2 :].mean():.4f}")
        above.axhline(target, color="black", linestyle="--", linewidth=1.0, label="target")
        if rule == "ppo_penalty":
            above.axhspan(target / 1.5, 1.5 * target, color="black", alpha=0.07, linewidth=0)
        above.set_title(rule)
        above.set_ylabel(f"policy/kl, nats (thick: mean of {WINDOW})")
        above.legend(frameon=False, fontsize=8)
        below.set_ylabel(f"{coefficient} ({name})")
        below.set_xlabel("thousand environment steps")
        for axis in (above, below):
            axis.grid(alpha=0.3)
            axis.set_ylim(bottom=0.0)
    figure.tight_layout()
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
