"""A campaign: the runs that it attacks, how often it tried what, and what failed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos_parts.children import Failure, ended, kill, start
from chaos_parts.results import lines_in, result
from trpo_cli.commands.run import main as trpo_run
from trpo_cli.errors import UserError

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
MANY = "ppo"
"""The case of the runs of a sweep or a search."""


class Campaign:
    """folder: where it works. cases: of the runs that it attacks."""

    def __init__(self, folder: Path, seed: int, cases: Sequence[str]) -> None:
        self.folder, self.seed, self.cases = folder, seed, cases
        self.tries: Counter[str] = Counter()
        self.failures: list[str] = []
        self.others: dict[str, dict[str, Any]] = {}
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

    def template(self, case: str, state: str) -> Path:
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

    def tried(self, kind: str) -> int:
        """How many tries there were whose kind begins so."""
        return sum(n for name, n in self.tries.items() if name.startswith(kind))

    def attempt(self, kind: str, number: int, action: Action) -> None:
        """One try in a folder of its own, which goes unless it failed."""
        folder = self.folder / f"{kind}_{number}"
        folder.mkdir()
        try:
            action(self, random.Random(f"{self.seed} {kind} {number}"), folder)
        except Exception as error:
            if not isinstance(error, (Failure, UserError)):
                traceback.print_exc()
            self.failures.append(f"{kind} {number} in {folder}: {error}")
            print(f"FAILED {self.failures[-1]}", flush=True)
        else:
            shutil.rmtree(folder)


Action = Callable[[Campaign, random.Random, Path], None]
