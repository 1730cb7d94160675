"""The training loop: iterate, log, checkpoint, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trpo_cli.config import Config, config_to_yaml
from trpo_cli.evaluate import Evaluator
from trpo_cli.runs import checkpoint, manifest
from trpo_cli.runs.directory import CONFIG, write_atomically
from trpo_cli.runs.logger import MetricsLogger
from trpo_cli.runs.progress import Progress
from trpo_cli.settings import walk
from trpo_cli.training import Training


def train(config: Config, run_dir: Path, command: list[str]) -> None:
    """Run one configuration to its end, into an empty run directory.

    Raises `UserError` before anything is written, `RunFailed` after that.
    """
    training = Training(config)
    evaluator = Evaluator(config, training.threads) if config.eval.episodes else None
    facts: dict[str, Any] = {
        "seed": training.seed,
        "device": training.device,
        "backend": training.simulator.backend,
        "threads": training.threads,
    }
    record = manifest.start(run_dir, command=command, **facts)
    write_atomically(run_dir / CONFIG, config_to_yaml(config).encode())
    logger = MetricsLogger(run_dir, {key: value for key, _, value in walk(config)})
    facts["parameters"] = len(training.policy.parameters) + len(training.value.parameters)
    facts["max_episode_steps"] = training.simulator.max_episode_steps
    progress = Progress(config, facts, run_dir)
    progress.banner()
    status, reason, evaluation = "failed", None, None
    try:
        while training.step < config.total_steps:
            before = training.step
            row = training.iterate()
            logger.write(row)
            progress.update(row)
            if due(config.checkpoint.every, before, training.step):
                save(training, run_dir)
            last = training.step >= config.total_steps
            if evaluator and (last or due(config.eval.every, before, training.step)):
                evaluation = evaluator.run(training.policy, training.step)
                logger.write_eval(evaluation)
        logger.flush()
        save(training, run_dir)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        training.close()
        logger.close(status == "finished")
        progress.summary(status, reason, evaluation, training.clock.total)
        record.finish(status, reason, training.step)  # last, as a full disk may make it raise


def save(training: Training, run_dir: Path) -> None:
    """Write the checkpoint of this step and let `last` point to it."""
    state = {"step": training.step, "iteration": training.iteration}
    checkpoint.save(checkpoint.path(run_dir, training.step), training.tensors(), state)
    checkpoint.point(run_dir, "last", training.step)
    checkpoint.prune(run_dir, training.config.checkpoint.keep)


def due(every: int, before: int, now: int) -> bool:
    """Whether a multiple of `every` steps lies in (before, now]; 0 means never."""
    return bool(every) and now // every > before // every
