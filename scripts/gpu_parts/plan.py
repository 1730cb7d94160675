"""What a part is asked to do, and what it tells."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.config import Config
from trpo_cli.distributed.processes import Processes
from trpo_cli.models import orders
from trpo_cli.training.build import TENSORS_ON_CPU
from trpo_cli.training.trainer import Training

T = TypeVar("T")
TASKS = ("Hopper-v5", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5")
Found = dict[str, Any]
"""What a case finds, as JSON. line: its figures in words, for the table. wrong: what was judged and
is not as it should be."""


class Skipped(Exception):
    """A case that cannot be run here; its words say why."""


@dataclass(frozen=True)
class Case:
    """run: fills in what it finds as it goes, so that a cut loses nothing."""

    name: str
    run: Callable[[Plan, Found], None]


@dataclass(frozen=True)
class Plan:
    """device: of the networks. dry: on the CPU, as small as possible. warp: MuJoCo Warp, too.
    until: when the part's time is over, by `time.monotonic`."""

    device: str
    dry: bool = False
    warp: bool = True
    until: float = math.inf

    def limited(self, seconds: float) -> Plan:
        return dataclasses.replace(self, until=time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def pick(self, full: T, tiny: T) -> T:
        return tiny if self.dry else full

    def seconds(self, full: float, cases: int) -> float:
        """For one of so many cases: `full` if there is that much time, none in a dry run."""
        return self.pick(min(full, self.left / max(1, cases)), 0.0)

    @contextmanager
    def training(self, *settings: str) -> Iterator[Training]:
        """A training with its networks on the device."""
        processes = OnTensors() if self.dry else Processes()
        with (
            self.alone(),
            closing(Training(self._config(settings, self.device), processes)) as made,
        ):
            yield made

    @contextmanager
    def training_on_cpu(self, *settings: str) -> Iterator[Training]:
        with closing(Training(self._config(settings, "cpu"))) as made:
            yield made

    def _config(self, settings: Sequence[str], device: str) -> Config:
        """A dry run has one thread: it may share the machine with others."""
        return dataclasses.replace(composed(*settings), device=device, threads=self.pick(None, 1))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """In a dry run the CPU takes minibatch steps that nobody waits for, as a GPU does."""
        before = orders.KINDS
        orders.KINDS = self.pick(before, ("cpu",))
        try:
            yield
        finally:
            orders.KINDS = before


class OnTensors(Processes):
    """In a dry run: to what chooses the arithmetic this device is not the CPU, where small networks
    are numpy's business, so that all goes the way that it goes on a GPU."""

    def device(self, kind: str) -> str:
        return TENSORS_ON_CPU


@functools.cache
def composed(*settings: str) -> Config:
    """Hydra takes a quarter of a second."""
    return config_of("seed=1", *settings)


def sized(rule: str, env: str, envs: int, steps: int) -> list[str]:
    """A rule on so many environments. With a perceptron the number of minibatches is that of the
    defaults whatever the batch, so that the time of an update does not grow as its square."""
    sizes = [f"sampler.num_envs={envs}", f"sampler.steps_per_env={steps}"]
    if not env.startswith("ALE/"):
        sizes.append(f"value.minibatch_size={max(1, envs * steps // 16)}")
        if rule == "ppo":
            sizes.append(f"algo.minibatch_size={max(1, envs * steps // 32)}")
    return [f"algo={rule}", f"env={env}", *sizes]


def needs(*modules: str) -> None:
    """Raises `Skipped` where one of them is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Skipped(f"the module {module} is not installed")


def needs_warp(plan: Plan) -> None:
    """Raises `Skipped` where there is no MuJoCo Warp, or it was not asked for."""
    if not plan.warp:
        raise Skipped("its kernels are compiled for a minute; --warp does that")
    needs("mujoco", "warp", "mujoco_warp")


def synchronize(plan: Plan) -> None:
    """Wait for what the GPU was asked to do."""
    if plan.device == "cuda":
        import torch

        torch.cuda.synchronize()
