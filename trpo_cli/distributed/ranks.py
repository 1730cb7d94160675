"""The processes that train one policy together, started by torch's launcher:

    torchrun --nproc-per-node=4 -m trpo_cli algo=trpo env=Hopper-v4

Each has some of the environments and all of the parameters. All draw the same random numbers and
add up their sums, so they take one step together: that of a single process with all samples.

The first process leads. It owns the run directory, says when an iteration or a checkpoint begins,
and tells how the run ended; the others take part. Without a launcher there is one process, and
torch.distributed is never imported.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from trpo_cli.system.signals import Stop

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each process."""


class Ranks(Protocol):
    """rank: the number of this process; count: how many there are; is_main: whether it is the
    first; command: how a person starts such a group."""

    rank: int
    count: int
    is_main: bool
    command: str

    def sum(self, x: Any) -> Any:
        """The sum over processes, of arrays in place. The same bits in every process."""
        ...

    def max(self, x: float) -> float:
        """The maximum over processes."""
        ...

    def gather(self, thing: T) -> list[T]:
        """What each process gives, in every process."""
        ...

    def broadcast(self, thing: T) -> T:
        """What the first process gives, in every process."""
        ...

    def align(self, *arrays: Any) -> None:
        """Replace arrays by those of the first process."""
        ...

    def agreed(self) -> contextlib.AbstractContextManager[None]:
        """A block that fails everywhere when it fails anywhere: the first process raises the
        failure, the others `ToldElsewhere`. Nothing may be exchanged within."""
        ...

    def first(self, action: Callable[[], T]) -> T:
        """Let the first process do something; its result, or failure, is everybody's."""
        ...

    def order(self, name: str) -> contextlib.AbstractContextManager[None]:
        """The first process begins something, and the others, which wait in `next_order`, too."""
        ...

    def next_order(self) -> str:
        """What the first process begins; "end" when it has done all."""
        ...

    def end(self) -> None:
        """The first process has done all, unless it left something in the middle."""
        ...

    def watch(self, stop: Stop) -> None:
        """From now on a signal to any process is one to the first."""
        ...

    def device(self, kind: str) -> str:
        """This process's device of a kind, cpu or cuda."""
        ...

    def connect(self, device: str) -> None:
        """Arrays on this device will be exchanged."""
        ...

    def leave(self) -> None:
        """The processes part; each may end now."""
        ...


class Alone:
    """One process."""

    rank, count, is_main, command = 0, 1, True, "trpo-run"

    def sum(self, x: Any) -> Any:
        return x

    def max(self, x: float) -> float:
        return x

    def gather(self, thing: T) -> list[T]:
        return [thing]

    def broadcast(self, thing: T) -> T:
        return thing

    def align(self, *arrays: Any) -> None:
        pass

    def agreed(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def first(self, action: Callable[[], T]) -> T:
        return action()

    def order(self, name: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def next_order(self) -> str:
        return "end"

    def end(self) -> None:
        pass

    def watch(self, stop: Stop) -> None:
        pass

    def device(self, kind: str) -> str:
        return kind

    def connect(self, device: str) -> None:
        pass

    def leave(self) -> None:
        pass


ALONE = Alone()


def process_count() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in VARIABLES) else 1


def process_number() -> int:
    """Which of them this is."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


def processes_here() -> int:
    """How many of them share this machine."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if process_count() > 1 else 1


def join() -> Ranks:
    """The processes that the launcher started; `ALONE` without one."""
    if process_count() == 1:
        return ALONE
    from trpo_cli.distributed.group import Group

    return Group()
