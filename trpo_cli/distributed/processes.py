"""The processes that train one policy together, started by torch's launcher:

    torchrun --nproc-per-node=4 -m trpo_cli algo=trpo env=Hopper-v4

Each has some of the environments and all of the parameters. All draw the same random numbers and
add up their sums, so they take one step together: that of a single process with all samples.

The first process leads. It owns the run directory, says when an iteration or a checkpoint begins,
and tells how the run ended; the others take part. They talk by torch.distributed: gloo between
CPUs, NCCL between GPUs. Without a launcher there is one process, nothing is exchanged, and torch
is never imported for it.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from trpo_cli.errors import FOREIGN, LostProcess, RunFailed, ToldElsewhere, UserError, describe
from trpo_cli.system.signals import Stop

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each process."""
MEETING = timedelta(minutes=10)
"""How long the processes wait for each other to start."""
PATIENCE = timedelta(days=7)
"""How long they wait later: the first one's evaluations may take hours. A process that dies is
noticed at once, as its connections close."""
ORDERS = ("end", "iterate", "state", "load_state", "start_from")
CLAIM = "trpo_cli/told"
CLAIM_SECONDS = 2.0
"""The head start of the first process in telling how the run ended."""


class Processes:
    """The processes of one run: this one alone, or those that `join` has brought together.

    rank: the number of this process; count: how many there are; store: what `join` connected
    them by. is_main: whether it is the first; command: how a person starts such a run.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: Any = None) -> None:
        self.rank, self.count, self.is_main = rank, count, rank == 0
        self.command = "trpo-run"
        if count > 1:
            self.command = f"torchrun --nproc-per-node={processes_here()} -m trpo_cli"
        self._store = store
        self._gpus: Any = None
        self._stop: Stop | None = None
        self._idle = self._whole = True

    def sum(self, x: Any) -> Any:
        """The sum over processes, of arrays in place. Each piece is added up in one process and
        copied to the others: the same bits in all."""
        if self.count == 1:
            return x
        if getattr(x, "ndim", 0) == 0:
            return self._reduce([float(x)], "SUM")[0]
        self._exchange_array("all_reduce", x)
        return x

    def max(self, x: Any) -> Any:
        """The maximum over processes, of numbers."""
        return x if self.count == 1 else self._reduce([float(x)], "MAX")[0]

    def gather(self, thing: T) -> list[T]:
        """What each process gives, in every process."""
        things = [thing] * self.count
        if self.count > 1:
            self._exchange("all_gather_object", things, thing)
        return things

    def broadcast(self, thing: T) -> T:
        """What the first process gives, in every process."""
        things = [thing]
        if self.count > 1:
            self._exchange("broadcast_object_list", things, src=0)
        return things[0]

    def align(self, *arrays: Any) -> None:
        """Replace arrays by those of the first process."""
        for x in arrays:
            if self.count > 1 and len(x):  # a value function may have no parameters of its own
                self._exchange_array("broadcast", x, src=0)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """A block that fails everywhere when it fails anywhere: the first process raises the
        failure, the others `ToldElsewhere`. Nothing may be exchanged within."""
        failure: BaseException | None = None
        try:
            yield
        except (LostProcess, ToldElsewhere):
            raise
        except FOREIGN as error:
            if self.count == 1:
                raise
            failure = error
        if not self.max(failure is not None):
            return
        told = [facts for facts in self.gather(_facts(failure)) if facts]
        if not self.is_main:
            raise ToldElsewhere from failure
        raise failure or _failure(told[0])

    def first(self, action: Callable[[], T]) -> T:
        """Let the first process do something; its result, or failure, is everybody's."""
        result: Any = None
        with self.agreed():
            if self.is_main:
                result = action()
        shared: T = self.broadcast(result)
        return shared

    @contextlib.contextmanager
    def order(self, name: str) -> Iterator[None]:
        """The first process begins something, and the others, which wait in `next_order`, too."""
        if self.is_main:
            self._meet(ORDERS.index(name))
        self._idle = False
        yield
        self._idle = True  # not after a failure: who knows where the others are then

    def next_order(self) -> str:
        """What the first process begins; "end" when it has done all."""
        return ORDERS[self._meet(0)]

    def end(self) -> None:
        """The first process has done all, unless it left something in the middle."""
        if self.is_main and self._idle and self._whole:
            self._meet(ORDERS.index("end"))

    def _meet(self, order: int) -> int:
        """Exchange the first process's order, and the signals that the others got."""
        if self.count == 1:
            return order
        signal = self._stop.received or 0 if self._stop is not None else 0
        order, signal = map(int, self._reduce([order, signal], "MAX"))
        if signal and self._stop is not None:
            self._stop.receive(signal)
        return order

    def watch(self, stop: Stop) -> None:
        """From now on a signal to any process is one to the first."""
        self._stop = stop

    def device(self, kind: str) -> str:
        """This process's device of a kind, cpu or cuda."""
        if self.count == 1 or kind != "cuda":
            return kind
        import torch

        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"

    def connect(self, device: str) -> None:
        """Arrays on this device will be exchanged. Processes that share a GPU do so through the
        CPU: NCCL takes one each."""
        if self.count == 1 or not device.startswith("cuda"):
            return
        import torch

        if torch.cuda.device_count() >= processes_here():
            self._gpus = torch.distributed.new_group(backend="nccl", timeout=MEETING)

    def leave(self) -> None:
        """The processes part; each may end now."""
        if self.count == 1:
            return
        if self._idle and self._whole:
            import torch.distributed

            torch.distributed.destroy_process_group()
        elif self.is_main:
            self._claim()

    def _reduce(self, numbers: list[float], operation: str) -> list[float]:
        import torch

        tensor = torch.tensor(numbers, dtype=torch.float64)
        operator = getattr(torch.distributed.ReduceOp, operation)
        self._exchange("all_reduce", tensor, op=operator)
        reduced: list[float] = tensor.tolist()
        return reduced

    def _exchange_array(self, collective: str, x: Any, **options: Any) -> None:
        """In place: a numpy array and its tensor share their memory."""
        import torch

        tensor = x if isinstance(x, torch.Tensor) else torch.from_numpy(x)
        self._exchange(collective, tensor, group=self._gpus if tensor.is_cuda else None, **options)

    def _exchange(self, collective: str, *args: Any, **options: Any) -> None:
        """Call one of torch.distributed's functions, by name."""
        import torch.distributed

        try:
            getattr(torch.distributed, collective)(*args, **options)
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


ALONE = Processes()


def process_count() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in VARIABLES) else 1


def process_number() -> int:
    """Which of them this is."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def processes_here() -> int:
    """How many of them share this machine."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if process_count() > 1 else 1


def join() -> Processes:
    """Wait for the processes that the launcher started; `ALONE` without one."""
    if process_count() == 1:
        return ALONE
    import torch.distributed as dist

    store, rank, count = next(dist.rendezvous("env://", timeout=MEETING))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)
    return Processes(rank, count, store)


def _facts(failure: BaseException | None) -> dict[str, Any] | None:
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
