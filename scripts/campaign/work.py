"""Training and evaluating the runs of cells, as many at a time as there are cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from campaign import keep
from campaign.cells import Job, defaults
from trpo_cli.errors import UserError
from trpo_cli.reference import store
from trpo_cli.reference.distil import episodes_of, is_evaluated, is_trial, read_finished
from trpo_cli.reference.store import TUNING_SEEDS, Result, Trial, differing, settings_id
from trpo_cli.sweeps.look import has_begun, is_finished

ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import sys
from trpo_cli.commands.{} import main
from trpo_cli.sweeps.lifeline import end_with_parent
end_with_parent()
sys.exit(main())
"""


def missing(jobs: Iterable[Job], folder: Path) -> list[Job]:
    """The jobs that a store has not, each once."""
    folder.mkdir(parents=True, exist_ok=True)
    results, trials = store.read(folder), {trial.key for trial in store.read_trials(folder)}
    found = {job.name: job for job in jobs if not _is_there(job, results, trials)}
    return list(found.values())


def _is_there(job: Job, results: Sequence[Result], trials: set[tuple[Any, ...]]) -> bool:
    if job.seed >= TUNING_SEEDS:
        mine = (job.env, job.algo, job.sampler, job.total_steps)
        return (*mine, settings_id(job.settings), job.seed) in trials
    cell = (job.algo, job.sampler, job.env, job.total_steps, job.seed)
    usual = defaults(job.algo, job.sampler, job.env)
    return any(
        (*r.cell, r.seed) == cell and not differing(r.settings, job.settings, usual)
        for r in results
    )


class Workers:
    """Does jobs in processes of one thread each. folder: of the run directories. target: the store.
    tidy: whether checkpoints and events go once a run is stored."""

    def __init__(self, folder: Path, target: Path, processes: int, tidy: bool) -> None:
        self._folder, self._target, self._tidy = folder, target, tidy
        self._pool = ThreadPoolExecutor(processes)
        self._lock = threading.Lock()
        self._alive = set[subprocess.Popen[bytes]]()
        self._stopping = False

    def do(self, jobs: Sequence[Job]) -> int:
        """Returns how many failed. Ctrl-C or SIGTERM lets the runs write checkpoints and ends."""
        started, failed = time.monotonic(), 0
        waiting = {self._pool.submit(self._one, job): job for job in jobs}
        try:
            for number, future in enumerate(as_completed(waiting), 1):
                said, name = "", waiting[future].name
                try:
                    said = describe(future.result())
                except UserError as error:
                    failed, said = failed + 1, f"failed: {error}"
                minutes = (time.monotonic() - started) / 60
                print(f"{number}/{len(jobs)}  {minutes:.0f} min  {name}  {said}", flush=True)
        except BaseException:
            self._stop()
            raise
        finally:
            self._pool.shutdown(cancel_futures=True)
        return failed

    def _one(self, job: Job) -> Result | Trial:
        """Train, evaluate, store: each unless it is done."""
        run_dir = self._folder / job.name
        measured = not has_begun(run_dir) or keep.cpu_file(run_dir).is_file()
        if not is_finished(run_dir, job.total_steps):
            words = [*job.words, f"seed={job.seed}", "threads=1", f"hydra.run.dir={run_dir}"]
            self._call(
                "run", [f"resume={run_dir}"] if has_begun(run_dir) else words, run_dir, measured
            )
        run = read_finished(run_dir)
        if not is_trial(run) and not is_evaluated(run):
            words = [str(run_dir), "--episodes", str(episodes_of(job.env)), "--threads", "1"]
            self._call("evaluate", words, run_dir, measured)
        kept = keep.distil(run_dir)
        keep.put(self._target, [kept])
        if self._tidy:
            keep.clean(run_dir)
        return kept

    def _call(self, name: str, words: Sequence[str], run_dir: Path, measured: bool) -> None:
        """Run one of the package's commands; what it prints goes into a file beside the run. Raises
        `UserError` with the end of that file where it fails."""
        log = run_dir.with_name(f"{run_dir.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        places = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        settings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
        with open(log, "ab") as file, self._lock:
            if self._stopping:
                raise UserError("It was stopped.")
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(name), *words],
                stdin=subprocess.PIPE,  # its end tells the run that this process is gone
                stdout=file,
                stderr=file,
                env=settings,
                start_new_session=True,  # Ctrl-C reaches it through `_stop`, once
            )
            self._alive.add(process)
        _, status, usage = os.wait4(process.pid, 0)
        assert process.stdin is not None
        process.stdin.close()
        process.returncode = os.waitstatus_to_exitcode(status)
        with self._lock:
            self._alive.discard(process)
        if measured:
            spent = (keep.cpu_seconds(run_dir) or 0.0) + usage.ru_utime + usage.ru_stime
            keep.cpu_file(run_dir).write_text(f"{spent:.1f}\n")
        if process.returncode:
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise UserError(f"status {process.returncode}, see {log}: {' '.join(last)}")

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._alive:
                process.send_signal(signal.SIGTERM)


def describe(kept: Result | Trial) -> str:
    if isinstance(kept, Trial):
        return f"return {kept.final:.5g}  [{kept.changes or 'defaults'}]  {kept.seconds:.0f} s"
    return (
        f"sampled {kept.sampled.mean:.5g}, deterministic {kept.deterministic.mean:.5g}  "
        f"{kept.seconds:.0f} s"
    )
