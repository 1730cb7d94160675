"""Show that two checkouts compute the same: many short runs with both, compared to the bit.

    python scripts/equality.py --other ../before                    # run both, compare
    python scripts/equality.py --other ../before --save before.json # run the other one, keep that
    python scripts/equality.py --against before.json --only ppo     # run this one, compare

A run counts as equal when the rows of metrics.jsonl and eval.jsonl (time fields apart) and the
arrays of its last checkpoint are. Digits depend on the processor and on the versions of libraries,
so both checkouts have to have the same.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 600
LIBRARIES = ("numpy", "torch", "mujoco", "gymnasium", "ale-py", "opencv-python-headless")
TIMES = ("seconds", "steps_per_second", "time/*", "chain")  # the chain is over the times too
Result = dict[str, Any]
"""Of a run: metrics and eval, a list of rows each; arrays, name -> type, shape and SHA-256. Of one
that did not end well: error."""

SIZES = {
    "small": "sampler.num_envs=4 sampler.steps_per_env=64 total_steps=1280 eval.episodes=2",
    "es": "sampler.num_envs=8 sampler.steps_per_env=50 total_steps=1600 eval.episodes=2",
    "vine": "sampler.num_envs=4 sampler.steps_per_env=32 sampler.rollout_states=8 "
    "sampler.actions=3 sampler.horizon=8 total_steps=1600 eval.episodes=2",
    "images": "sampler.num_envs=2 sampler.steps_per_env=32 total_steps=192 eval.episodes=1 "
    "env.max_episode_steps=100",
    "image vine": "sampler.num_envs=2 sampler.steps_per_env=16 sampler.rollout_states=4 "
    "sampler.actions=2 sampler.horizon=4 total_steps=192 eval.episodes=1 env.max_episode_steps=100",
}
RULES = ("vpg", "npg", "trpo", "ppo", "ppo_penalty", "dual")
ENVS = ("Hopper-v4", "HalfCheetah-v4", "CartPole-v1")
CASES = {
    "small": [f"algo={rule} env={env}" for rule in RULES for env in ENVS]
    + """
algo=trpo env=Humanoid-v5
algo=ppo env=Humanoid-v5
algo=trpo env=Swimmer-v4
algo=ppo env=Walker2d-v5
algo=npg env=Ant-v4
algo=vpg env=Reacher-v4
algo=trpo env=InvertedDoublePendulum-v4
algo=trpo env=Pendulum-v1
algo=ppo env=Acrobot-v1
algo=ppo env=Hopper-v4 env.max_episode_steps=20 discount=0.9
algo=trpo env=Ant-v5 +env.kwargs.include_cfrc_ext_in_observation=false
algo=trpo env=Hopper-v4 threads=2
algo=ppo env=HalfCheetah-v4 threads=2 sampler.groups=4
algo=trpo env=CartPole-v1 sampler.groups=1
algo=ppo env=CartPole-v1 eval.every=512 eval.deterministic=true
algo=trpo env=Hopper-v4 eval.every=512 checkpoint.every=256 checkpoint.keep=1
algo=vpg env=Hopper-v4 advantage=total_return
algo=vpg env=CartPole-v1 advantage=reward_to_go advantage.discount_states=true
algo=trpo env=Hopper-v4 advantage=reward_to_go value=none
algo=trpo env=Hopper-v4 advantage=average_baseline advantage.rollouts=3
algo=trpo env=Hopper-v4 advantage=value_baseline
algo=ppo env=Hopper-v4 advantage=q_value
algo=npg env=CartPole-v1 advantage=q_value advantage.return_lambda=1 value=none
algo=ppo env=Hopper-v4 advantage=td_residual advantage.value_lambda=0.9
algo=trpo env=Hopper-v4 advantage.gae_lambda=0.8 advantage.value_lambda=1
algo=vpg env=Hopper-v4 advantage.standardize=false advantage.discount_states=true
algo=trpo env=Hopper-v4 value=quadratic value.ridge=1e-4
algo=vpg env=CartPole-v1 value=quadratic
algo=ppo env=Hopper-v4 value=mlp
algo=ppo env=Hopper-v4 value.epochs=3 value.minibatch_size=100 value.learning_rate=5e-4
algo=trpo env=Hopper-v4 value=mlp value.hidden_sizes=[32] value.schedule=linear
algo=trpo env=Hopper-v4 value.normalize_targets=false value.max_grad_norm=0.5 value.activation=relu
algo=ppo_penalty env=Hopper-v4 value=quadratic
algo=dual env=CartPole-v1 value=none advantage=reward_to_go
algo=trpo env=Hopper-v4 policy=linear
algo=ppo env=CartPole-v1 policy=linear policy.bias=false
algo=ppo env=CartPole-v1 policy=gru
algo=trpo env=CartPole-v1 policy=lstm policy.sequence_length=16
algo=ppo env=Hopper-v4 policy=mlp policy.hidden_sizes=[32,16] policy.activation=relu
algo=trpo env=Hopper-v4 policy.actions=clip policy.init_log_std=0 policy.output_gain=1
algo=vpg env=Hopper-v4 policy.actions=raw policy.normalize_observations=false
algo=npg env=HalfCheetah-v4 policy.observation_clip=1
algo=trpo env=Hopper-v4 policy.log_std=state policy.actions=squash
algo=ppo_penalty env=Hopper-v4 policy.log_std=state
algo=trpo env=Hopper-v4 policy.layer_norm=true value.layer_norm=true
algo=vpg env=Hopper-v4 algo.optimizer=sgd algo.learning_rate=0.01
algo=vpg env=CartPole-v1 algo.entropy_coef=0.01 algo.max_grad_norm=0.1 algo.schedule=linear
algo=npg env=Hopper-v4 algo.step_rule=fixed algo.step_size=0.05
algo=npg env=CartPole-v1 algo.fisher=empirical algo.schedule=cooldown
algo=npg env=Hopper-v4 algo.damping=0.01 algo.cg_iterations=4 algo.fisher_fraction=1
algo=trpo env=Hopper-v4 algo.fisher=empirical algo.damping=0.5
algo=trpo env=Hopper-v4 algo.max_kl=0.05 algo.backtrack_ratio=0.5 algo.max_backtracks=2
algo=trpo env=CartPole-v1 algo.schedule=linear algo.cg_tolerance=1e-3
algo=trpo env=Hopper-v4 algo.entropy_coef=0.01
algo=npg env=CartPole-v1 algo.entropy_coef=0.1
algo=ppo env=Hopper-v4 algo.objective=unclipped algo.epochs=3
algo=ppo env=CartPole-v1 algo.objective=clip_only
algo=ppo env=Hopper-v4 algo.objective=spo
algo=ppo env=Hopper-v4 algo.recompute_advantages=true
algo=ppo env=Hopper-v4 algo.target_kl=0.005 algo.schedule=constant
algo=ppo env=Hopper-v4 algo.minibatch_size=null algo.clip_range=0.1 algo.entropy_coef=0.01
algo=ppo env=CartPole-v1 algo.max_grad_norm=null algo.minibatch_size=100
algo=ppo_penalty env=Hopper-v4 algo.kl_target=null algo.kl_coef=3
algo=ppo_penalty env=CartPole-v1 algo.kl_target=0.003 algo.schedule=linear
algo=dual env=Hopper-v4 algo.multiplier=0 algo.multiplier_step=2 algo.max_kl=0.003
+experiment=lqr algo=trpo
+experiment=lqr algo=ppo
+experiment=lqr +env.kwargs.states=6
+experiment=lqr_vpg
+experiment=lqr_expected_npg
+experiment=lqr_expected_vpg
+experiment=paper_swimmer_single_path
[continued] algo=trpo env=Hopper-v4
[continued] algo=ppo env=CartPole-v1
[killed] algo=ppo env=Hopper-v4
[killed] algo=dual env=CartPole-v1 eval.every=512
[two processes] algo=trpo env=Hopper-v4
""".strip().splitlines(),
    "es": """
algo=es env=Hopper-v4
algo=es env=HalfCheetah-v4
algo=es env=CartPole-v1
algo=es env=CartPole-v1 algo.optimizer=sgd algo.shaping=none algo.schedule=linear
algo=es env=Hopper-v4 algo.sigma=0.02 algo.learning_rate=0.01 sampler.episodes=2
+experiment=lqr_es
[killed] algo=es env=Hopper-v4
""".strip().splitlines(),
    "vine": """
algo=trpo env=CartPole-v1 sampler=vine
algo=trpo env=Hopper-v4 sampler=vine
algo=trpo env=Hopper-v4 sampler=vine sampler.use_trunk=false
algo=npg env=Hopper-v4 sampler=vine
algo=vpg env=CartPole-v1 sampler=vine
algo=trpo env=CartPole-v1 sampler=vine sampler.proposal=uniform sampler.choose=stride
algo=trpo env=Hopper-v4 sampler=vine sampler.use_trunk=false sampler.bootstrap=false value=none
algo=trpo env=Hopper-v4 sampler=vine sampler.common_random_numbers=false sampler.width=7
algo=trpo env=Hopper-v4 sampler=vine sampler.rollouts_per_action=2 sampler.compare_states=2
algo=trpo env=Swimmer-v4 sampler=vine value=quadratic
+experiment=quick_hopper_vine
[killed] algo=trpo env=Hopper-v4 sampler=vine
""".strip().splitlines(),
    "images": [f"algo={rule} env=PongNoFrameskip-v4" for rule in RULES]
    + """
algo=trpo env=ALE/Pong-v5 policy=trpo_cnn value=cnn
algo=trpo env=ALE/Pong-v5 policy=trpo_cnn value=shared value.ridge=0.01
algo=npg env=PongNoFrameskip-v4 policy=nature_cnn value=none advantage=reward_to_go
algo=ppo env=ALE/Pong-v5 policy=trpo_cnn value=cnn value.epochs=2
algo=ppo env=ALE/Pong-v5 policy=nature_cnn value=shared value.coef=0.25 threads=2
algo=vpg env=ALE/Breakout-v5 policy=trpo_cnn value=cnn value.schedule=linear
algo=ppo env=ALE/Breakout-v5 policy=trpo_cnn env.atari.frame_height=52 env.atari.frame_width=40
algo=ppo env=PongNoFrameskip-v4 policy=trpo_cnn policy.precision=bfloat16 env.atari.frame_stack=2
algo=ppo env=BreakoutNoFrameskip-v4 policy=trpo_cnn env.atari.sticky_actions=0.25
[killed] algo=ppo env=PongNoFrameskip-v4 policy=trpo_cnn
""".strip().splitlines(),
    "image vine": ["algo=trpo env=PongNoFrameskip-v4 sampler=vine policy=trpo_cnn"],
}


@dataclass(frozen=True)
class Case:
    """One run. words: as on a command line, behind [continued], [killed] or [two processes] where
    it is made in that way; size: how large it is."""

    words: str
    size: str

    @property
    def command(self) -> list[str]:
        """The overrides: no key twice, and what a case says itself wins."""
        own = re.sub(r"^\[.*?\] ", "", self.words).split()
        said = {word.partition("=")[0] for word in own}
        usual = ["seed=3", "threads=1", *self.size.split()]
        return [*(word for word in usual if word.partition("=")[0] not in said), *own]


def cases(pattern: str = "") -> list[Case]:
    """The cases whose words match a regular expression."""
    listed = [Case(words, SIZES[size]) for size, group in CASES.items() for words in group]
    return [case for case in listed if re.search(pattern, case.words)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--python", type=Path, metavar="FILE", help="its Python (in its .venv)")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with saved results")
    parser.add_argument("--save", type=Path, metavar="FILE", help="run the other one only")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases that match this")
    parser.add_argument("--ignore", action="append", default=[], metavar="KEY",
                        help="a metric that may differ; * stands for anything")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (1)")
    args = parser.parse_args()
    if (args.other is None) == (args.against is None):
        parser.error("give either --other or --against")
    if args.against and (args.save or args.python):
        parser.error("--save and --python go with --other")
    chosen = cases(args.only)
    if not chosen:
        parser.error(f"--only {args.only} matches no case")
    if args.other:
        own = args.other / ".venv/bin/python"
        python = args.python or (own if own.exists() else Path(sys.executable))
        machine = environment(python)
        expected = run_all(args.other.resolve(), python.absolute(), chosen, args.jobs)
    else:
        content = json.loads(args.against.read_text())
        machine = content["environment"]
        expected = (content["cases"].get(case.words) for case in chosen)
    if args.save:
        return save(args.save, machine, chosen, expected)
    here = environment(Path(sys.executable))
    for key in here.keys() | machine.keys():
        if here.get(key) != machine.get(key):
            print(f"warning: {key} is {here.get(key)} here and {machine.get(key)} there")
    found = run_all(ROOT, Path(sys.executable), chosen, args.jobs)
    return report(chosen, expected, found, args.ignore)


def report(
    chosen: Sequence[Case],
    expected: Iterator[Result | None],
    found: Iterator[Result],
    ignore: Sequence[str],
) -> int:
    """Print a line per case as its results arrive, and a count; returns the exit status."""
    equal, begin = 0, time.monotonic()
    for case, theirs, ours in zip(chosen, expected, found, strict=True):
        if theirs and "error" not in theirs and theirs.get("command") != case.command:
            theirs = {"error": "the case was another one when that was saved"}
        why = difference(theirs or {"error": "not among the saved results"}, ours, ignore)
        equal += not why
        print(f"{'DIFFERS' if why else 'equal  '}  {case.words}{why and f': {why}'}", flush=True)
    print(f"{equal} of {len(chosen)} equal, {time.monotonic() - begin:.0f} s")
    return 0 if equal == len(chosen) else 1


def difference(theirs: Result, ours: Result, ignore: Sequence[str] = ()) -> str:
    """What differs first between two results, in words; empty when nothing does."""
    for side, result in (("other", theirs), ("this", ours)):
        if "error" in result:
            return f"{side}: {result['error']}"
    for name in ("metrics", "eval"):
        before, after = theirs[name], ours[name]
        for number, (old, new) in enumerate(zip(before, after, strict=False), start=1):
            for key in [*old, *(key for key in new if key not in old)]:
                same = key in old and key in new and repr(old[key]) == repr(new[key])
                if not same and not _matches(key, ignore):
                    values = f"{old.get(key, 'missing')} and {new.get(key, 'missing')}"
                    return f"{name}.jsonl line {number}, {key}: {values}"
        if len(before) != len(after):
            return f"{name}.jsonl: {len(before)} and {len(after)} lines"
    before, after = theirs["arrays"], ours["arrays"]
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key) != after.get(key):
            return f"array {key}: {before.get(key, 'missing')} and {after.get(key, 'missing')}"
    return ""


def read_result(run_dir: Path) -> Result:
    """What a run left that has to be the same."""
    from safetensors.numpy import load_file

    rows = {}
    for name in ("metrics", "eval"):
        lines = (run_dir / f"{name}.jsonl").read_text().splitlines()
        rows[name] = [
            {k: v for k, v in json.loads(line).items() if not _matches(k, TIMES)} for line in lines
        ]
    arrays = load_file(run_dir / "checkpoints/last/tensors.safetensors")
    digests = {
        key: f"{a.dtype}{list(a.shape)} {hashlib.sha256(a.tobytes()).hexdigest()[:16]}"
        for key, a in sorted(arrays.items())
    }
    return {**rows, "arrays": digests}


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(key, pattern) for pattern in patterns)


def run_all(checkout: Path, python: Path, chosen: Sequence[Case], jobs: int) -> Iterator[Result]:
    """The results of a checkout, in order."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(functools.partial(run, checkout, python), chosen)


def run(checkout: Path, python: Path, case: Case) -> Result:
    """The result of one case, made in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="equality_") as folder:
        try:
            _make(checkout, python, case, Path(folder))
            return {"command": case.command, **read_result(Path(folder) / "run")}
        except subprocess.CalledProcessError as error:
            last = (error.stderr or "").strip().splitlines() or ["no message"]
            return {"error": f"exit status {error.returncode}: {last[-1]}"}
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"error": str(error)}


def _make(checkout: Path, python: Path, case: Case, folder: Path) -> None:
    first = [*case.command, "hydra.run.dir=run"]
    launch = [str(python), "-m", "trpo_cli"]
    options: Any = {
        "cwd": folder,
        "env": {
            **os.environ,
            "PYTHONPATH": str(checkout),
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        },
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    if case.words.startswith("[two processes]"):
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        launch = [str(python), *torchrun, "-m", "trpo_cli"]
    elif case.words.startswith("[killed]"):
        _kill_in_the_middle([*launch, *first, "checkpoint.every=1"], folder / "run", options)
        first = ["resume=run"]
    subprocess.run([*launch, *first], check=True, timeout=SECONDS, **options)
    if case.words.startswith("[continued]"):
        more = ["resume=run", "total_steps=2000"]
        subprocess.run([*launch, *more], check=True, timeout=SECONDS, **options)


def _kill_in_the_middle(command: Sequence[str], run_dir: Path, options: dict[str, Any]) -> None:
    """Begin a run and kill it once it has two rows."""
    process = subprocess.Popen(command, **options)
    metrics, until = run_dir / "metrics.jsonl", time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.002)
    process.kill()
    _, err = process.communicate()
    if process.returncode >= 0:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=err or "too quick")


def environment(python: Path) -> dict[str, str]:
    """What digits depend on besides the code: the processor and the versions of the libraries."""
    code = (
        "import json, platform; from importlib.metadata import version; print(json.dumps("
        f"{{'python': platform.python_version(), **{{n: version(n) for n in {LIBRARIES}}}}}))"
    )
    out = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else []
    cpu = models[0] if models else platform.processor()
    return {**json.loads(out), "cpu": cpu, "system": platform.platform()}


def save(
    path: Path, machine: dict[str, str], chosen: Sequence[Case], results: Iterator[Result]
) -> int:
    """Write results to a file; 1 when a run of them failed."""
    kept = {}
    for case, result in zip(chosen, results, strict=True):
        error = result.get("error")
        print(
            f"{'FAILED' if error else 'saved '}  {case.words}{f': {error}' if error else ''}",
            flush=True,
        )
        kept[case.words] = result
    path.write_text(json.dumps({"environment": machine, "cases": kept}, indent=1) + "\n")
    failed = sum("error" in result for result in kept.values())
    print(f"{len(kept) - failed} of {len(kept)} results in {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
