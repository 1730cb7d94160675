"""A Slurm cluster of two nodes on this machine, without systemd, cgroups or a database."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "munged": "munge",
}
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
MAX_ARRAY = 4
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize={max_array}
KillWait=30
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=grace Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=60
PartitionName=sudden Nodes=ALL MaxTime=INFINITE PriorityTier=1 GraceTime=0
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=9 PreemptMode=off
"""


def missing() -> str:
    """The packages that have to be installed first, by their names in Debian."""
    lacking = {p for daemon, p in PACKAGES.items() if shutil.which(daemon, path=PATH) is None}
    return ", ".join(sorted(lacking))


class Cluster:
    """A running one. Its commands find it by SLURM_CONF."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def ask(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(
            command,
            env={**os.environ, "SLURM_CONF": str(self.config)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def queue(self) -> dict[str, tuple[str, str]]:
        """By job that waits or runs: its state and its node, or why it waits."""
        text = self.ask("squeue", "--array", "--noheader", "--format=%i %T %R")
        rows = [line.split(maxsplit=2) for line in text.splitlines()]
        return {job: (state, where) for job, state, where in rows}

    def states(self) -> list[str]:
        return sorted(state for state, _ in self.queue().values())

    def submit(self, partition: str, command: str, folder: Path, cpus: int = 2) -> str:
        """The number of a new job of one task, which writes what it prints into the folder."""
        out = self.ask(
            *("sbatch", "--parsable", f"--partition={partition}", "--ntasks=1"),
            *(f"--cpus-per-task={cpus}", f"--output={folder}/%j.txt", f"--wrap={command}"),
        )
        return out.strip()

    def hurry(self) -> None:
        """Slurm lets a job that was put back wait for two minutes; begin it now."""
        for job, (_, why) in self.queue().items():
            if "BeginTime" in why:
                self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def clear(self) -> None:
        """End all jobs and use all nodes."""
        self.ask("scancel", f"--user={getpass.getuser()}")
        self.set_nodes("n1,n2", "resume")
        assert until(lambda: not self.queue()), self.queue()

    def set_nodes(self, nodes: str, state: str) -> None:
        words = ["Reason=test"] if state == "drain" else []
        with contextlib.suppress(AssertionError):  # they are in that state already
            self.ask("scontrol", "update", f"NodeName={nodes}", f"State={state}", *words)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return true


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Start the daemons; all of them have ended when the block has."""
    # The path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="slurm") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("state", "spool-n1", "spool-n2"):
            (folder / part).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        config = folder / "slurm.conf"
        host, user = socket.gethostname().partition(".")[0], getpass.getuser()
        config.write_text(
            CONFIG.format(
                host=host, user=user, folder=folder, ports=free_ports(3), max_array=MAX_ARRAY
            )
        )
        if _version() >= 23:  # the first that can do without
            (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        files = [f"--{kind}={folder}/munge.{kind.split('-')[0]}" for kind in ("key-file", "socket")]
        files += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("pid", "log", "seed")]
        _start(stack, ["munged", "--foreground", "--force", *files], folder)
        assert until(lambda: (folder / "munge.socket").exists()), "munged did not start"
        _start(stack, ["slurmctld", "-D", "-f", str(config)], folder)
        for node in ("n1", "n2"):
            _start(stack, ["slurmd", "-D", "-f", str(config), "-N", node], folder)
        found = Cluster(config)

        def idle() -> bool:
            with contextlib.suppress(AssertionError):
                return found.ask("sinfo", "-h", "-N", "-p", "grace", "-o", "%T") == "idle\n" * 2
            return False

        assert until(idle), (folder / "daemons.txt").read_text()
        yield found
        found.clear()


def _version() -> int:
    daemon = shutil.which("slurmd", path=PATH)
    assert daemon is not None
    return int(subprocess.check_output([daemon, "-V"], text=True).split()[1].partition(".")[0])


def _start(stack: contextlib.ExitStack, command: Sequence[str], folder: Path) -> None:
    """A daemon that ends with the stack."""
    with (folder / "daemons.txt").open("a") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    stack.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
