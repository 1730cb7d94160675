"""What is told of a run when it begins: in its manifest, and on the screen."""

from __future__ import annotations

from typing import Any

from trpo_cli.config.changed import changed
from trpo_cli.training.memory import observation_bytes, size_in_words
from trpo_cli.training.trainer import Training


def for_manifest(training: Training) -> dict[str, Any]:
    """Where and how it runs."""
    backend = training.simulator.backend
    return {
        "seed": training.seed,
        "device": training.parts.device,
        "backend": backend,
        "vector": training.config.env.stepped if backend == "gymnasium" else None,
        "threads": training.threads,
        "processes": training.processes.count,
    }


def for_banner(training: Training) -> dict[str, Any]:
    """The same, and what a person would like to know before waiting for it."""
    simulator = training.simulator
    return {
        **for_manifest(training),
        "parameters": len(training.policy.parameters) + len(training.value.parameters),
        "device_reason": training.parts.device_reason,
        "observations": size_in_words(observation_bytes(training.config, simulator)),
        "max_episode_steps": simulator.max_episode_steps,
        "why_not_restorable": training.sampler.why_not_restorable,
        "remarks": simulator.remarks,
        "changed": changed(training.config),
        "steps_done": training.step,
        "command": training.processes.command,
    }
