"""Kill, damage and start runs at random, and look whether anything was lost or went unnoticed.

    python scripts/chaos.py --seed 1 --kills 500 --mutations 1000 --starts 100

kills      SIGKILL at a random moment of a run, an evaluation, a sweep or a resumption, again and
           again until the run has ended: it must be, to the bit, the run that nobody killed.
mutations  One file of a run directory is damaged: each command must answer as if nothing had
           happened, say what it passed over, or refuse in one paragraph and change nothing.
starts     Three runs begin in one folder at once: one trains, the others are refused.

It works in a temporary folder, which stays when something failed. What a try does is drawn from the
seed and its number; the moment of a kill depends on the machine too. Returns 1 after a failure.
Runs are forked from this process, which has no threads, and has imported and compiled everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import trpo_cli.training.loop  # noqa: E402, F401  a child has it then
from trpo_cli.commands.evaluate import main as trpo_eval  # noqa: E402
from trpo_cli.commands.run import main as trpo_run  # noqa: E402
from trpo_cli.compare.read import Run, read_run  # noqa: E402
from trpo_cli.errors import UserError  # noqa: E402
from trpo_cli.runs import chain, checkpoint, manifest  # noqa: E402
from trpo_cli.runs.event_file import events_files, records  # noqa: E402

COMMON = ["threads=1", "seed=3", "eval.episodes=2", "checkpoint.keep=2"]
SMALL = ["sampler.num_envs=2", "sampler.steps_per_env=32"]
CASES = {
    "trpo": ["algo=trpo", "env=CartPole-v1", *SMALL, "total_steps=512", "eval.every=192"],
    "npg": ["algo=npg", "env=Hopper-v4", *SMALL, "total_steps=384", "eval.every=128"],
    "ppo": ["algo=ppo", "env=CartPole-v1", *SMALL, "algo.minibatch_size=32", "total_steps=512",
            "eval.every=128"],
    "vpg": ["algo=vpg", "env=Pendulum-v1", *SMALL, "total_steps=384", "eval.every=0"],
    "es": ["algo=es", "sampler=perturbations", "env=CartPole-v1", "sampler.num_envs=4",
           "sampler.steps_per_env=16", "total_steps=400", "eval.every=150"],
    "vine": ["algo=trpo", "sampler=vine", "env=CartPole-v1", *SMALL, "sampler.rollout_states=4",
             "sampler.actions=2", "sampler.horizon=4", "total_steps=700", "eval.every=250"],
}  # fmt: skip
SWEPT = "ppo"
DAMAGED = ("trpo", "ppo", "npg")
FILES = (
    "config.yaml",
    "manifest.json",
    "metrics.jsonl",
    "eval.jsonl",
    "events.out.tfevents.*",
    "checkpoints/step_*/tensors.safetensors",
    "checkpoints/step_*/state.json",
    "checkpoints/step_*/index.json",
    "checkpoints/last",
    "checkpoints/best",
    "checkpoints/step_*",
    "checkpoints",
)
PATIENCE = 900.0
"""Seconds that a process may take, on a machine that has much else to do."""
Action = Callable[[random.Random, Path], None]


class Failure(Exception):
    """Something that must not happen."""


class Chaos:
    """A campaign: where it works, how often it tried what, and what failed."""

    def __init__(self, folder: Path, seed: int, cases: Sequence[str]) -> None:
        self.folder, self.seed, self.cases = folder, seed, cases
        self.tries: Counter[str] = Counter()
        self.failures: list[str] = []
        self._references: dict[str, dict[str, Any]] = {}

    def words(self, case: str) -> list[str]:
        every = 1 if case == "vine" else 64
        return [*CASES[case], *COMMON, f"checkpoint.every={every}"]

    def reference(self, case: str) -> dict[str, Any]:
        """What the run gives that nobody touches. It is made in this process, so that those forked
        from it have imported and compiled what they need."""
        if case not in self._references:
            run_dir = self.folder / f"reference_{case}"
            with open(os.devnull, "w") as out, contextlib.redirect_stdout(out):
                code = trpo_run([*self.words(case), f"hydra.run.dir={run_dir}"])
            if code:
                raise Failure(f"the run of {case} that nobody touches ended with {code}")
            if len(threads := os.listdir("/proc/self/task")) > 1:
                raise Failure(f"{len(threads)} threads: what is forked now may wait for ever")
            self._references[case] = result(run_dir)
        return self._references[case]

    @property
    def kills(self) -> int:
        return sum(n for kind, n in self.tries.items() if kind.startswith("kills"))

    def attempt(self, kind: str, number: int, action: Action) -> None:
        """One try in a folder of its own, which goes unless it failed."""
        folder = self.folder / f"{kind}_{number}"
        folder.mkdir()
        try:
            action(random.Random(f"{self.seed} {kind} {number}"), folder)
        except Exception as error:
            if not isinstance(error, (Failure, UserError)):
                traceback.print_exc()
            self.failures.append(f"{kind} {number} in {folder}: {error}")
            print(f"FAILED {self.failures[-1]}", flush=True)
        else:
            shutil.rmtree(folder)

    # Kills

    def killed_run(self, generator: random.Random, folder: Path) -> None:
        """A run that is killed until it has ended."""
        case = generator.choice(self.cases)
        expected, run_dir, added = self.reference(case), folder / "run", 0
        for _ in range(generator.randrange(2, 9)):
            if is_finished(run_dir):
                break
            words = [*self.words(case), f"hydra.run.dir={run_dir}"]
            begun = (run_dir / "config.yaml").exists()
            child = start(trpo_run, [f"resume={run_dir}"] if begun else words, folder)
            self._kill(child, generator, run_dir)
            if checkpoint.exists(run_dir) and generator.random() < 0.3:
                child = start(trpo_eval, [str(run_dir), "--episodes", "1"], folder)
                added += self._kill_evaluation(child, generator, run_dir)
        if not is_finished(run_dir):
            begun = (run_dir / "config.yaml").exists()
            words = [*self.words(case), f"hydra.run.dir={run_dir}"]
            finish(start(trpo_run, [f"resume={run_dir}"] if begun else words, folder), 0)
        same(result(run_dir), expected)
        check_files(run_dir)
        found = [row for row in rows(run_dir / "eval.jsonl") if "by" in row]
        if len(found) < added:
            raise Failure(f"{len(found)} of {added} rows of trpo-eval are left")

    def _kill(self, child: int, generator: random.Random, run_dir: Path) -> None:
        """Kill a run at a moment of a random kind, unless it ends before."""
        kind = generator.choice(["time", "time", "rows", "rows", "saving", "writing", "beginning"])
        count, more = lines_in(run_dir / "metrics.jsonl"), generator.randrange(4)
        until = time.monotonic() + generator.expovariate(2.0)

        def reached() -> bool:
            if kind == "rows":
                return lines_in(run_dir / "metrics.jsonl") >= count + more
            if kind == "saving":
                return any(run_dir.glob("checkpoints/.tmp-*"))
            if kind == "writing":
                return any(run_dir.glob(".*.tmp"))
            if kind == "beginning":
                return run_dir.is_dir()
            return time.monotonic() > until

        limit = time.monotonic() + PATIENCE
        while not reached():
            if ended(child) is not None:
                check_status(child, 0)
                return
            if time.monotonic() > limit:
                raise Failure("a run neither ended nor got on")
            time.sleep(0.0005)
        time.sleep(generator.choice([0.0, 0.0, 0.001, 0.01, 0.05]))
        self.tries[f"kills of runs: {kind}"] += kill(child)

    def _kill_evaluation(self, child: int, generator: random.Random, run_dir: Path) -> int:
        """Kill trpo-eval, or let it end; returns how many rows are there for sure."""
        if generator.random() < 0.5:
            finish(child, 0)
            return 2
        before = lines_in(run_dir / "eval.jsonl")
        time.sleep(generator.expovariate(5.0))
        self.tries["kills of evaluations"] += kill(child)
        return lines_in(run_dir / "eval.jsonl") - before

    def killed_sweep(self, generator: random.Random, folder: Path) -> None:
        """A sweep whose process is killed; its workers end by themselves."""
        sweep_dir = folder / "sweep"
        words = [*self.words(SWEPT), "-m", "seed=3,4", f"hydra.sweep.dir={sweep_dir}"]
        words.remove("seed=3")
        words.append("hydra.launcher.jobs=2")
        for _ in range(generator.randrange(1, 4)):
            begun = (sweep_dir / "sweep.json").exists()
            if begun and all(is_finished(sweep_dir / job) for job in "01"):
                break
            child = start(trpo_run, [f"resume={sweep_dir}"] if begun else words, folder)
            limit = time.monotonic() + generator.expovariate(0.15)
            while time.monotonic() < limit and ended(child) is None:
                time.sleep(0.01)
            if ended(child) is not None:
                check_status(child, 0)
                break
            self.tries["kills of sweeps"] += kill(child)
        if not all(is_finished(sweep_dir / job) for job in "01"):
            begun = (sweep_dir / "sweep.json").exists()
            finish(start(trpo_run, [f"resume={sweep_dir}"] if begun else words, folder), 0)
        same(result(sweep_dir / "0"), self.reference(SWEPT))
        for job in "01":
            check_files(sweep_dir / job)

    # Starts

    def simultaneous_starts(self, generator: random.Random, folder: Path) -> None:
        """Three at once: one result, and nobody else's hands in it."""
        case = generator.choice([name for name in self.cases if name != "vine"])
        expected, run_dir = self.reference(case), folder / "a" / "run"
        words = [*self.words(case), f"hydra.run.dir={run_dir}"]
        if generator.random() < 0.3:
            run_dir.mkdir(parents=True)
        children = [start(trpo_run, words, folder) for _ in range(3)]
        codes = sorted(wait(child) for child in children)
        self.tries["simultaneous starts"] += 1
        if codes != [0, 2, 2]:
            raise Failure(f"exit statuses {codes}")
        same(result(run_dir), expected)
        check_files(run_dir)

    # Mutations

    def mutation(self, generator: random.Random, folder: Path) -> None:
        """A damaged file: the same answer, a word about it, or a refusal that changes nothing."""
        case = generator.choice([name for name in self.cases if name in DAMAGED])
        template = self._template(case, generator.choice(["finished", "killed"]))
        run_dir = Path(shutil.copytree(template, folder / "run", symlinks=True))
        before = contents(run_dir)
        other = self._template(case, "killed" if "reference" in template.name else "finished")
        what, kind = "", ""
        while contents(run_dir) == before:
            kind = generator.choice(FILES)
            what = damage(generator, run_dir, kind, other)
        (folder / "what").write_text(what)
        self.tries[f"mutations of {kind}"] += 1
        try:
            self._read(run_dir, template)
            if generator.random() < 0.4:
                self._evaluate(run_dir, template, folder)
            else:
                self._resume(run_dir, case, folder)
        except Failure as error:
            raise Failure(f"{what} ({template.name}): {error}") from error

    def _template(self, case: str, state: str) -> Path:
        """A run that has ended, or one that was killed behind its fourth row."""
        self.reference(case)
        if state == "finished":
            return self.folder / f"reference_{case}"
        folder = self.folder / f"killed_{case}"
        if not folder.exists():
            words = [word for word in self.words(case) if not word.startswith("checkpoint.every")]
            words += ["checkpoint.every=128", f"hydra.run.dir={folder}"]
            child = start(trpo_run, words, self.folder)
            while lines_in(folder / "metrics.jsonl") < 4 and ended(child) is None:
                time.sleep(0.0005)
            kill(child)
        return folder

    def _read(self, run_dir: Path, template: Path) -> None:
        """trpo-compare leaves it out with a reason, or has the numbers that were written."""
        wanted = ("step", "policy/kl", "train/return_mean")
        try:
            found: Run = read_run(run_dir, "", wanted)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, UserError) as error:
            if not str(error):
                raise Failure("trpo-compare gives no reason") from error
            return
        expected = read_run(template, "", wanted)
        for key in wanted:
            if found.column(key).tobytes() != expected.column(key).tobytes():
                raise Failure(f"trpo-compare reads other values of {key}")
        if found.config != expected.config:
            raise Failure("trpo-compare reads another configuration")
        if list(found.evals) != list(expected.evals):
            raise Failure("trpo-compare reads other evaluations")

    def _evaluate(self, run_dir: Path, template: Path, folder: Path) -> None:
        arguments = ["--episodes", "1", "--sampled", "--json"]
        before = contents(run_dir)
        code = wait(start(trpo_eval, [str(run_dir), *arguments], folder))
        out = said(folder)
        if code == 2:
            refused(out, before, contents(run_dir))
            return
        if code != 0:
            raise Failure(f"trpo-eval ended with {code}: {out}")
        found = answer(out)
        for step in (template / "checkpoints").glob("step_*"):
            if step.name == f"step_{found['step']}":
                break
        else:
            raise Failure("trpo-eval evaluated a checkpoint that never was")
        answers = self.folder / f"answers_{template.name}"
        if not answers.exists():
            answers.mkdir()
            for one in (template / "checkpoints").glob("step_*"):
                copy = Path(shutil.copytree(template, answers / "run", symlinks=True))
                words = [str(copy), *arguments, "--checkpoint", one.name]
                finish(start(trpo_eval, words, answers), 0)
                (answers / one.name).write_text(json.dumps(answer(said(answers))))
                shutil.rmtree(copy)
        expected = json.loads((answers / f"step_{found['step']}").read_text())
        if found["returns"] != expected["returns"]:
            raise Failure("trpo-eval gives other returns")
        newest = max(int(p.name[5:]) for p in (template / "checkpoints").glob("step_*"))
        there = (run_dir / "checkpoints" / f"step_{newest}").is_dir()
        if found["step"] != newest and there and "warning" not in out:
            raise Failure("trpo-eval takes an older checkpoint without a word")

    def _resume(self, run_dir: Path, case: str, folder: Path) -> None:
        before, over = contents(run_dir), is_finished(run_dir)
        code = wait(start(trpo_run, [f"resume={run_dir}"], folder))
        out = said(folder)
        if code == 2:
            refused(out, before, contents(run_dir))
            if over and "is finished" in out:
                return
        elif code == 0:
            same(result(run_dir, best=False), {**self.reference(case), "best": None})
            check_files(run_dir)
        else:
            raise Failure(f"the resumption ended with {code}: {out}")


def damage(generator: random.Random, run_dir: Path, pattern: str, other: Path) -> str:
    """Damage one file or folder of a run; returns what was done. other: another run's directory."""
    found = sorted(run_dir.glob(pattern))
    if not found:
        return "nothing"
    path = generator.choice(found)
    name = str(path.relative_to(run_dir))
    if path.is_symlink() or path.is_dir():
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
        return f"{name} removed"
    data = path.read_bytes()
    lines, place = data.splitlines(keepends=True), generator.randrange(max(1, len(data)))
    number = generator.randrange(max(1, len(lines)))
    theirs = sorted(other.glob(pattern))
    kinds = ["flipped", "flipped", "digit", "shortened", "torn", "zeros", "garbage", "removed"]
    kinds += ["line lost", "line twice", "lines swapped", "theirs", "their line"]
    kind = generator.choice(kinds)
    if kind == "flipped":
        data = data[:place] + bytes([data[place] ^ 1 << generator.randrange(8)]) + data[place + 1 :]
    elif kind == "digit":
        digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
        place = generator.choice(digits or [place])
        data = data[:place] + str(generator.randrange(10)).encode() + data[place + 1 :]
    elif kind == "shortened":
        data = data[:place]
    elif kind == "torn":
        data = data[: -generator.randrange(1, 40)]
    elif kind == "zeros":
        data = data[:place] + bytes(len(data) - place)
    elif kind == "garbage":
        data += generator.randbytes(generator.randrange(1, 100))
    elif kind == "line lost":
        data = b"".join(lines[:number] + lines[number + 1 :])
    elif kind == "line twice":
        data = b"".join(lines[: number + 1] + lines[number:])
    elif kind == "lines swapped" and len(lines) > 1:
        lines[number], lines[number - 1] = lines[number - 1], lines[number]
        data = b"".join(lines)
    elif kind == "theirs" and theirs:
        data = theirs[0].read_bytes()
    elif kind == "their line" and theirs:
        their = theirs[0].read_bytes().splitlines(keepends=True)
        data = b"".join([*lines[:number], generator.choice(their), *lines[number:]])
    if kind == "removed":
        path.unlink()
    else:
        path.write_bytes(data)
    return f"{name} {kind} at byte {place}, line {number + 1}"


# Children


def start(command: Callable[[list[str]], int], words: Sequence[str], folder: Path) -> int:
    """A command in a forked process; what it prints goes to `said` in the folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(FileNotFoundError):
        (folder / "said").unlink()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.chdir(folder)
        out = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):
            os.dup2(out, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = command(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(99)


_codes: dict[int, int] = {}


def ended(child: int) -> int | None:
    """The exit status of a child, None while it goes on."""
    if child not in _codes:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            _codes[child] = os.waitstatus_to_exitcode(status)
    return _codes.get(child)


def wait(child: int) -> int:
    limit = time.monotonic() + PATIENCE
    while (code := ended(child)) is None:
        if time.monotonic() > limit:
            kill(child)
            raise Failure(f"a process did not end within {PATIENCE:.0f} s")
        time.sleep(0.001)
    return code


def finish(child: int, code: int) -> None:
    wait(child)
    check_status(child, code)


def check_status(child: int, code: int) -> None:
    if _codes[child] != code:
        raise Failure(f"exit status {_codes[child]} instead of {code}")


def kill(child: int) -> int:
    """SIGKILL; returns 1, or 0 when the process had ended before."""
    if ended(child) is not None:
        return 0
    os.kill(child, signal.SIGKILL)
    while ended(child) is None:
        time.sleep(0.0005)
    return int(_codes[child] == -signal.SIGKILL)


def answer(out: str) -> Any:
    """What trpo-eval --json printed, among warnings."""
    (line,) = (line for line in out.splitlines() if line.startswith("{"))
    return json.loads(line)


def said(folder: Path) -> str:
    return (folder / "said").read_text(errors="replace")


# What a run left


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in chain.lines_of(path.read_bytes())]


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not chain.timed(key)}


def result(run_dir: Path, best: bool = True) -> dict[str, Any]:
    """All that must be the same. best: also the evaluation of the best checkpoint, which may be
    lost for good."""
    arrays, state = checkpoint.load(checkpoint.latest(run_dir))
    evaluations = [untimed(r) for r in rows(run_dir / "eval.jsonl") if "by" not in r]
    return {
        "metrics": [untimed(row) for row in rows(run_dir / "metrics.jsonl")],
        "evaluations": [row for row in evaluations if "checkpoint" not in row],
        "best": [row for row in evaluations if "checkpoint" in row] if best else None,
        "arrays": {key: (a.dtype.str, a.shape, a.tobytes()) for key, a in arrays.items()},
        "generators": state["generators"],
    }


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key, value in expected.items():
        if found[key] != value:
            raise Failure(f"{key} is not what a run without interruptions has")


def check_files(run_dir: Path) -> None:
    """The files of a finished run are in order, and TensorBoard shows each row once."""
    content = manifest.read(run_dir)
    if content["status"] != "finished":
        raise Failure(f"the manifest says {content['status']}")
    manifest.check_config(run_dir, content)
    files = {name: (run_dir / name).read_bytes() for name in chain.FILES}
    if wrong := chain.check_run(content, files):
        raise Failure(wrong)
    (events,) = events_files(run_dir)
    shown = len(list(records(events.read_bytes())))
    own = [row for row in rows(run_dir / "eval.jsonl") if "by" not in row]
    expected = len(rows(run_dir / "metrics.jsonl"))
    expected += sum("checkpoint" not in row for row in own)
    if shown != expected + 3:  # the format's version, the start and the end of the session
        raise Failure(f"TensorBoard shows {shown - 3} of {expected} rows")
    hidden = [p.name for p in run_dir.rglob(".*") if p.name != ".lock"]
    if hidden:
        raise Failure(f"{hidden} was left behind")


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but for the lock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock" and (path.is_symlink() or path.is_file()):
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(folder))] = data
    return found


def refused(out: str, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """A refusal is one paragraph, past warnings, and changed nothing."""
    told = [line for line in out.splitlines() if not line.startswith("warning: ")]
    if len(told) != 1 or "Traceback" in out:
        raise Failure(f"the refusal is not one paragraph: {out}")
    if after != before:
        changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        raise Failure(f"a refusal changed {', '.join(changed)}")


def lines_in(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.read_bytes().count(b"\n")
    return 0


def is_finished(run_dir: Path) -> bool:
    with contextlib.suppress(UserError):
        return manifest.read(run_dir).get("status") == "finished"
    return False


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=50, help="at least (50)")
    parser.add_argument("--mutations", type=int, default=100, help="damaged files (100)")
    parser.add_argument("--starts", type=int, default=10, help="rounds of three at once (10)")
    parser.add_argument("--sweeps", type=int, default=2, help="sweeps among the kills (2)")
    parser.add_argument("--case", action="append", choices=CASES, help="of these runs only (all)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin nothing after that (60)")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="trpo_cli_chaos_"))
    os.environ["XDG_STATE_HOME"] = str(folder)
    cases = args.case or list(CASES)
    chaos, until = Chaos(folder, args.seed, cases), time.monotonic() + 60.0 * args.minutes

    goals = {
        "start": (args.starts, chaos.simultaneous_starts),
        "mutation": (args.mutations, chaos.mutation),
        "sweep": (args.sweeps, chaos.killed_sweep),
        "run": (args.kills, chaos.killed_run),
    }
    made = Counter(dict.fromkeys(goals, 0))
    while time.monotonic() < until:
        done = {**made, "run": chaos.kills}
        left = {kind: done[kind] / goal for kind, (goal, _) in goals.items() if done[kind] < goal}
        if not left:
            break
        kind = min(left, key=lambda kind: left[kind])  # all kinds get on alike
        chaos.attempt(kind, made[kind], goals[kind][1])
        made[kind] += 1
    for kind, count in sorted(chaos.tries.items()):
        print(f"{count:6} {kind}")
    mutations = sum(n for kind, n in chaos.tries.items() if kind.startswith("mutations"))
    print(
        f"seed {args.seed}: {chaos.kills} kills, {mutations} mutations, "
        f"{chaos.tries['simultaneous starts']} simultaneous starts: {len(chaos.failures)} failures"
    )
    if chaos.failures:
        print(*chaos.failures, sep="\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
