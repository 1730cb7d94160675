"""`ranks.Ranks` of several processes, by torch.distributed: gloo on CPUs, NCCL between GPUs."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from trpo_cli.distributed.ranks import processes_here
from trpo_cli.errors import LostProcess, RunFailed, ToldElsewhere, UserError
from trpo_cli.maths.arrays import Array
from trpo_cli.runs.crash import describe
from trpo_cli.system.signals import Stop

T = TypeVar("T")

MEETING = timedelta(minutes=10)
"""How long the processes wait for each other to start."""
PATIENCE = timedelta(days=7)
"""How long they wait later: the first one's evaluations may take hours. A process that dies is
noticed at once, as its connections close."""
ORDERS = ("end", "iterate", "state", "load_state")
CLAIM = "trpo_cli/told"
CLAIM_SECONDS = 2.0
"""The head start of the first process in telling how the run ended."""


class Group:
    """The processes of one run."""

    def __init__(self) -> None:
        """Waits for all of them."""
        self._store, self.rank, self.count = next(dist.rendezvous("env://", timeout=MEETING))
        self.is_main = self.rank == 0
        self.command = f"torchrun --nproc-per-node={processes_here()} -m trpo_cli"
        dist.init_process_group(
            "gloo", store=self._store, rank=self.rank, world_size=self.count, timeout=PATIENCE
        )
        self._gpus: Any = None
        self._stop: Stop | None = None
        self._idle = self._whole = True

    def sum(self, x: Array) -> Array:
        """Each piece is added up in one process and copied to the others: the same bits."""
        if getattr(x, "ndim", 0) == 0:
            number = torch.tensor([float(x)], dtype=torch.float64)
            self._exchange(dist.all_reduce, number)
            return number.item()
        tensor = _tensor(x)
        self._exchange(dist.all_reduce, tensor, group=self._gpus if tensor.is_cuda else None)
        return x

    def max(self, x: float) -> float:
        number = torch.tensor([float(x)], dtype=torch.float64)
        self._exchange(dist.all_reduce, number, op=dist.ReduceOp.MAX)
        return number.item()

    def gather(self, thing: T) -> list[T]:
        things: list[Any] = [None] * self.count
        self._exchange(dist.all_gather_object, things, thing)
        return things

    def broadcast(self, thing: T) -> T:
        things = [thing]
        self._exchange(dist.broadcast_object_list, things, src=0)
        return things[0]

    def align(self, *arrays: Array) -> None:
        for x in arrays:
            if not len(x):  # a value function without parameters of its own
                continue
            tensor = _tensor(x)
            group = self._gpus if tensor.is_cuda else None
            self._exchange(dist.broadcast, tensor, src=0, group=group)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        failure: Exception | None = None
        try:
            yield
        except (LostProcess, ToldElsewhere):
            raise
        except Exception as error:
            failure = error
        if self.max(float(failure is not None)) == 0.0:
            return
        told = [facts for facts in self.gather(_facts(failure)) if facts]
        if not self.is_main:
            raise ToldElsewhere from failure
        raise failure or _failure(told[0])

    def first(self, action: Callable[[], T]) -> T:
        result: Any = None
        with self.agreed():
            if self.is_main:
                result = action()
        shared: T = self.broadcast(result)
        return shared

    @contextlib.contextmanager
    def order(self, name: str) -> Iterator[None]:
        if self.is_main:
            self._meet(ORDERS.index(name))
        self._idle = False
        yield
        self._idle = True  # not after a failure: who knows where the others are then

    def next_order(self) -> str:
        return ORDERS[self._meet(0)]

    def _meet(self, order: int) -> int:
        """Exchange the first process's order, and the signals that the others got."""
        number = self._stop.received or 0 if self._stop is not None else 0
        both = torch.tensor([order, number])
        self._exchange(dist.all_reduce, both, op=dist.ReduceOp.MAX)
        order, number = both.tolist()
        if number and self._stop is not None:
            self._stop.receive(number)
        return order

    def end(self) -> None:
        if self.is_main and self._idle and self._whole:
            self._meet(ORDERS.index("end"))

    def watch(self, stop: Stop) -> None:
        self._stop = stop

    def device(self, kind: str) -> str:
        if kind != "cuda":
            return kind
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"

    def connect(self, device: str) -> None:
        """Processes that share a GPU exchange tensors through the CPU: NCCL takes one each."""
        if device.startswith("cuda") and torch.cuda.device_count() >= processes_here():
            self._gpus = dist.new_group(backend="nccl", timeout=MEETING)

    def leave(self) -> None:
        if self._idle and self._whole:
            dist.destroy_process_group()
        elif self.is_main:
            self._claim()

    def _exchange(self, collective: Callable[..., Any], *args: Any, **options: Any) -> None:
        try:
            collective(*args, **options)
        except RuntimeError as error:
            self._whole = False
            raise self._lost() from error

    def _lost(self) -> Exception:
        """The failure to raise when another process is gone. Mostly one process tells it: the
        first if it lives."""
        Stop.over = True  # the launcher sends SIGTERM to those that are left
        if not self.is_main:
            time.sleep(CLAIM_SECONDS)
        if self._claim() or self.is_main:
            return LostProcess("another process of this run died or failed.")
        return ToldElsewhere()

    def _claim(self) -> bool:
        """Whether nobody else tells how the run ended."""
        try:
            return bool(self._store.add(CLAIM, 1) == 1)
        except RuntimeError:  # the store was in the process that died
            return True


def _tensor(x: Array) -> torch.Tensor:
    """The same memory as a tensor."""
    return torch.from_numpy(x) if isinstance(x, np.ndarray) else x


def _facts(failure: Exception | None) -> dict[str, Any] | None:
    """A failure as it travels to the first process."""
    if failure is None:
        return None
    failed = failure if isinstance(failure, RunFailed) else None
    return {
        "bad_input": isinstance(failure, UserError),
        "message": str(failure) if isinstance(failure, UserError) else describe(failure),
        "arrays": failed.arrays if failed else {},
        "facts": failed.facts if failed else {},
        "traceback": "".join(traceback.format_exception(failure)),
    }


def _failure(told: dict[str, Any]) -> Exception:
    message: str = told["message"]
    if told["bad_input"]:
        return UserError(message)
    failure = RunFailed(message, arrays=told["arrays"], facts=told["facts"])
    failure.add_note(f"In another process:\n{told['traceback']}")
    return failure
