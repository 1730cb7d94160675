"""``trpo-export RUN``: a run's policy as a file that runs without this package."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trpo_cli.commands import arguments
from trpo_cli.commands.failures import run_command
from trpo_cli.errors import RunFailed, UserError
from trpo_cli.runs.checkpoint import step_of
from trpo_cli.runs.directory import check_writable, make, write_atomically
from trpo_cli.sweeps.last import only_run
from trpo_cli.terminal.display import PlainLines
from trpo_cli.version import __version__

if TYPE_CHECKING:
    import numpy as np

    from trpo_cli.config import Config

NAME = "trpo-export"
PACKAGES: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "torchscript": (),
    "npz": (),
}
"""Of each format what it needs beside what is installed anyway."""
NUM_ENVS = 16


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(NAME, export, argv)


def export(words: list[str]) -> None:
    """Look at the run, make the file, hold it against the policy, and only then write it."""
    args = make_parser().parse_args(words)
    from trpo_cli.training.stored import open_run

    run_dir = only_run(args.run_dir, args.run_dir)
    config, folder = open_run(run_dir, args.checkpoint, args.trust)
    require_packages(args.format)
    out = Path(args.out) if args.out else run_dir / f"policy.{args.format}"
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give the name of a file.")
    check_writable(out.parent, "--out")
    # Absolute: an environment may change the working directory.
    path, folder = out.absolute(), folder.absolute()
    with contextlib.chdir(os.curdir):
        data, said = make_file(config, folder, args.format)
    make(path.parent, "--out")
    write_atomically(path, data)
    lines = PlainLines(sys.stdout)
    for line in (str(out), *said):
        lines.print(line)


def require_packages(name: str) -> None:
    """Raise `UserError` where a format needs what is not installed."""
    missing = [p for p in PACKAGES[name] if importlib.util.find_spec(p) is None]
    if missing:
        raise UserError(
            f'--format {name} needs {" and ".join(missing)}: pip install "trpo_cli[export]". '
            "--format torchscript and npz need nothing more."
        )


def make_file(config: Config, folder: Path, name: str) -> tuple[bytes, list[str]]:
    """The file of a checkpoint's policy, and lines about it.

    Raises `RunFailed` when it does not act as the policy does.
    """
    from trpo_cli.export.check import TOLERANCE, differences, gather
    from trpo_cli.export.formats import FORMATS
    from trpo_cli.export.module import acting_module, compute_in_float32
    from trpo_cli.simulators.make import make_simulator
    from trpo_cli.training.evaluation import evaluation_streams, load_policy

    simulator = make_simulator(config.env, NUM_ENVS, config.threads or 1)
    try:
        policy = load_policy(folder, config, simulator)
        reduced = compute_in_float32(policy)
        seeds, generator = evaluation_streams(config.seed or 0, NUM_ENVS)
        observations, states = gather(policy, simulator, seeds, generator)
    finally:
        simulator.close()
    module = acting_module(policy, simulator)
    about = {"env": config.env.id, "algo": config.algo.name, "seed": config.seed}
    about |= {"step": step_of(folder), "trpo_cli": __version__}
    data = FORMATS[name].write(module, observations[:2], about)
    acting = FORMATS[name].read(data)
    found = differences(policy, simulator, acting, observations, states)
    given = [("observation", observations[:1]), ("state", states[:1])][: len(module.inputs)]
    worst = max(found, key=lambda output: found[output])
    if not found[worst] <= TOLERANCE:
        raise RunFailed(
            f"nothing was written: over {len(observations):,} observations of {config.env.id} "
            f"the {worst} of the {name} file differs from the policy's by up to "
            f"{found[worst]:.2g}, and at most {TOLERANCE:g} is let through. Another --format may "
            "do better."
        )
    said = [
        f"  {config.algo.name} on {config.env.id} after {step_of(folder):,} steps",
        *(f"  in   {described(*each)}" for each in given),
        *(f"  out  {described(*each)}" for each in acting(*(x for _, x in given)).items()),
        f"  differs from the policy by at most {found[worst]:.1e}, in {worst}, over "
        f"{len(observations):,} observations",
    ]
    if reduced:
        said.append("  computes in float32, where the run had policy.precision=bfloat16")
    return data, said


def described(name: str, array: np.ndarray) -> str:
    """ "mean (batch, 3) float32"."""
    return f"{name} ({', '.join(['batch', *map(str, array.shape[1:])])}) {array.dtype}"


def make_parser() -> arguments.Parser:
    parser = arguments.make_parser(
        NAME,
        "Write a run's policy as a file that acts without this package: observation in; the most "
        "likely action, and mean and std or logits, out. It is compared with the policy first.",
    )
    add = parser.add_argument
    add("run_dir", metavar="RUN_DIR", help="a run of trpo-run; last: the newest")
    add("--format", choices=PACKAGES, default="onnx", help="onnx, torchscript or npz (onnx)")
    add("--out", metavar="FILE", help="where to write it (RUN_DIR/policy.FORMAT)")
    add("--checkpoint", default="last", help="last, best or step_<n> (last)")
    add("--trust", action="store_true", help="import the modules that a stranger's run names")
    arguments.add_common(parser)
    return parser
