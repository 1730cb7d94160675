"""What a person sees of a run: the banner, a progress line, the closing summary."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from trpo_cli.runs.directory import CHECKPOINTS, EVAL, METRICS
from trpo_cli.system.machine import memory_in_use
from trpo_cli.terminal import evaluating
from trpo_cli.terminal.display import (
    count,
    display,
    duration,
    is_quiet,
    run_name,
    time_limit,
    update_size,
)
from trpo_cli.terminal.evaluating import Teller
from trpo_cli.terminal.view import View, kl_bound

LINE_SHARE = 0.05
"""Plain output: one line per this share of the run ..."""
LINE_SECONDS, QUIET_SECONDS = 2.0, 300.0
"""... but not more often than the first of these, and not more seldom than the second."""
PACE = 20
"""Updates over which the speed is measured that is shown in training."""
REFRESH_SECONDS = 0.5
"""Live output: drawing costs about 2 ms, so this is under half a percent of the time."""


class Progress:
    """Prints a run's progress: one live line on a terminal, few plain ones otherwise.

    config: the run's configuration.
    facts: what is known only once the run is set up; keys: seed, device, device_reason, backend,
        vector (how environments on Gymnasium are stepped; may be left out),
        threads, observations (the memory of an update's, in words),
        max_episode_steps (None: no limit), parameters (policy and value function, a count),
        changed (settings that are not the defaults, as the command line takes them; may be left
        out), processes, command (how many train together, and what starts them; may be left out),
        steps_done (of a resumed run; may be left out), why_not_restorable (why the environments'
        state cannot be saved; empty or left out when it can), remarks (sentences about the
        environments; may be left out).
    stream: where to print; standard output when None.
    """

    def __init__(
        self, config: Any, facts: Mapping[str, Any], run_dir: Path, stream: TextIO | None = None
    ) -> None:
        self.config, self.facts, self.run_dir = config, facts, run_dir
        self._total = config.total_steps
        self._step = self._first_step = int(facts.get("steps_done") or 0)
        self._display = display(sys.stdout if stream is None else stream)
        title = f"{config.algo.name} on {config.env.id}, seed {facts.get('seed')}"
        self._view = View(title, self._total, kl_bound(config.algo), step=self._first_step)
        self._began = self._shown = time.monotonic()
        self._pace = deque([(self._first_step, self._began)], maxlen=PACE)
        self._next_step, self._evaluated = float(self._first_step), 0.0
        self._updates, self._first_return = 0, math.nan
        self._rejected: Counter[str] = Counter()

    def banner(self) -> None:
        """Print what is about to run, and where its files go."""
        if is_quiet():
            return
        config, facts, sampler = self.config, self.facts, self.config.sampler
        self.note(self._view.title)
        processes = facts.get("processes", 1)
        self.note(
            (f"{processes} processes, each on " if processes > 1 else "")
            + f"device {facts['device']} ({facts['device_reason']}), "
            f"{count(facts['threads'], 'thread')}, {facts['backend']} environments"
            + (f" ({facts['vector']})" if facts.get("vector") else "")
        )
        self.note(
            f"{count(sampler.num_envs, 'environment')} x {count(sampler.steps_per_env, 'step')} = "
            f"{update_size(sampler)}, "
            + (f"{self._first_step:,} of " if self._first_step else "")
            + f"{self._total:,} steps {'done' if self._first_step else 'to do'}, "
            f"{facts['parameters']:,} parameters"
        )
        self.note(
            f"policy {config.policy.name}, value {config.value.name}; the observations of an "
            f"update take {facts['observations']}"
        )
        if others := facts.get("changed"):
            self.note(f"not the defaults: {' '.join(others)}")
        limit, value = facts["max_episode_steps"], config.value.name != "none"
        self.note(time_limit(limit, value))
        if not value and (limit is None or sampler.steps_per_env % limit):
            self.note(
                "the end of a rollout cuts episodes as well: sampler.steps_per_env a multiple of "
                "their length leaves less missing"
            )
        for remark in facts.get("remarks", ()):
            self.note(remark)
        if why := facts.get("why_not_restorable"):
            self.note(f"a resumed run will start new episodes: {why}")
        self.note(f"run directory {self.run_dir}")
        self._began = self._shown = time.monotonic()
        self._pace[0] = (self._first_step, self._began)

    def update(self, row: Mapping[str, Any]) -> None:
        """Take note of one row of metrics, and show it if it is time to."""
        now = time.monotonic()
        self._step, self._updates = int(row["step"]), self._updates + 1
        self._view.take(row)
        self._pace.append((self._step, now - self._evaluated))
        if math.isnan(self._first_return):
            self._first_return = self._view.returned
        if row.get("trust_region/accepted") == 0:
            self._rejected[str(row.get("trust_region/reason") or "no reason given")] += 1
        if self._is_time(now - self._shown):
            self._shown, self._next_step = now, self._step + LINE_SHARE * self._total
            self._view.rate = self._recent_rate()
            self._view.memory = memory_in_use()
            self._display.show(self._view)

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Take note of an evaluation in training."""
        self._view.take_evaluation(record)

    @contextmanager
    def evaluation(
        self, name: str, episodes: int, announced: str = ""
    ) -> Iterator[Callable[[int, int], None]]:
        """A block that evaluates. What it yields is to be called often, with the number of episodes
        that have ended and the steps done, and shows them now and then.

        announced: how the episodes are made, to be said beforehand.
        """
        every = REFRESH_SECONDS if self._display.live else evaluating.LINE_SECONDS
        teller = Teller(name, episodes, every, lambda text: self._display.show(self._view, text))
        if announced and not is_quiet():
            self.note(f"{name}: {count(episodes, 'episode')} {announced}")
        try:
            yield teller
        finally:
            self._evaluated += teller.seconds
            if self._display.live and teller.told:
                self._display.show(self._view)  # without the words about the evaluation

    def note(self, text: str) -> None:
        """Print one line that stays (an evaluation, a warning)."""
        self._display.print(text)

    def summary(
        self,
        status: str = "finished",
        reason: str | None = None,
        evaluation: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        failed_simulations: int = 0,
    ) -> None:
        """Print how the run ended and what can be done with it.

        status, reason: as in the manifest. evaluation: the final one's record, as in eval.jsonl.
        seconds: wall-clock time of the whole run; that since the banner when None. Steps per second
            are those of training, since the banner.
        failed_simulations: training episodes of the whole run that ended because of one.
        """
        self.close()
        here = time.monotonic() - self._began
        took = duration(here if seconds is None else seconds)
        if self._evaluated >= 1.0:
            took += f", {duration(self._evaluated)} of them for evaluation"
        rate = self._rate(time.monotonic())
        self.note(
            f"{status} after {self._step:,} of {self._total:,} steps, {took}, "
            f"{rate:,.0f} steps/s" + (f": {reason}" if reason and status != "failed" else "")
            # A failure has a paragraph of its own, on stderr.
        )
        if math.isnan(self._first_return):
            self.note("no training episode has ended")
        else:
            self.note(
                f"training return (last 100 episodes): first {self._first_return:.4g}, "
                f"last {self._view.returned:.4g}, best {self._view.best:.4g}"
            )
        if evaluation is not None:
            how = "deterministic" if evaluation["deterministic"] else "sampled actions"
            self.note(
                f"final evaluation ({how}, {count(evaluation['episodes'], 'episode')}): "
                f"{evaluation['return_mean']:.4g} ± {evaluation['return_std']:.4g}"
            )
        if judged := self._view.judged:
            reasons = "; ".join(f"{n} x {why}" for why, n in self._rejected.most_common(3))
            self.note(
                f"rejected steps: {judged - self._view.accepted} of {judged}"
                + (f" ({reasons})" if reasons else "")
            )
        if failed_simulations:
            self.note(
                f"failed simulations: {failed_simulations:,} training episodes ended because the "
                "simulation became unstable"
            )
        self._where(status)

    def close(self) -> None:
        """Stop the live line; the terminal is a plain one again. Once more does nothing."""
        self._display.close()

    def _where(self, status: str) -> None:
        names = [METRICS, EVAL, CHECKPOINTS]
        there = [name for name in names if (self.run_dir / name).exists()]
        folder = shlex.quote(str(self.run_dir))
        self.note(f"run directory {self.run_dir}: {', '.join(there)}")
        if is_quiet():
            return
        if CHECKPOINTS in there:
            self._display.print(f"evaluate:  trpo-eval {folder}", command=True)
        if status != "finished" and CHECKPOINTS in there:
            go_on = f"{self.facts.get('command', 'trpo-run')} resume={folder}"
            self._display.print(f"go on:     {go_on}", command=True)
        where = f"--logdir {folder}"
        if not set(folder) & set(",:'"):  # these mean something else there
            where = f"--logdir_spec {run_name(self.config)}:{folder}"
        self._display.print(f"watch:     tensorboard {where}", command=True)

    def _is_time(self, waited: float) -> bool:
        if is_quiet():
            return False
        if self._updates == 1 or self._step >= self._total:
            return True
        if self._display.live:
            return waited >= REFRESH_SECONDS
        due = self._step >= self._next_step and waited >= LINE_SECONDS
        return due or waited >= QUIET_SECONDS

    def _recent_rate(self) -> float:
        """Training steps per second over the last updates; the first one, in which functions are
        compiled, counts only as long as there is no other."""
        (first, began), (last, ended) = self._pace[1 if len(self._pace) > 2 else 0], self._pace[-1]
        return (last - first) / max(1e-9, ended - began)

    def _rate(self, now: float) -> float:
        """Training steps per second since the banner."""
        return (self._step - self._first_step) / max(1e-9, now - self._began - self._evaluated)
