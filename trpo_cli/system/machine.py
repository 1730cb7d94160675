"""Facts about the machine, the installed libraries and the checkout, for the manifest.

Nothing here may stop a run: a fact that cannot be found is left out or null.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "numpy", "gymnasium", "mujoco", "ale-py")
GIT_SECONDS = 0.05
"""How long the start of a run waits for git: on a busy machine the dirty flag is then null."""


def versions() -> dict[str, str]:
    """Python's version and those of the installed libraries, without importing any of them."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def kernels() -> dict[str, str]:
    """For which processor the loaded libraries compute: they choose the code when they start, and
    that for another kind of processor rounds sums in another order."""
    found = {}
    if (numpy := _loaded("numpy._core._multiarray_umath")) is not None:
        there = [name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__.get(name)]
        found["numpy"] = " ".join([*numpy.__cpu_baseline__, *there][-1:])
        with contextlib.suppress(OSError, AttributeError):
            found["openblas"] = _openblas()
    if (torch := _loaded("torch")) is not None:
        found["torch"] = str(torch.backends.cpu.get_cpu_capability())
    if (llvm := _loaded("llvmlite.binding")) is not None:
        found["llvm"] = str(llvm.get_host_cpu_name())
    return found


def _loaded(module: str) -> Any:
    return sys.modules.get(module)


def _openblas() -> str:
    """What OpenBLAS calls the processor that it computes for; raises OSError or AttributeError
    where there is none that says so."""
    import ctypes

    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        paths = {line.split()[-1] for line in file if "openblas" in line}
    library = ctypes.CDLL(min(paths, default="no such library"))
    for name in ("openblas_get_corename", "scipy_openblas_get_corename64_"):
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype = ctypes.c_char_p
            return str(function().decode())
    raise AttributeError("openblas_get_corename")


def machine(device: str) -> dict[str, Any]:
    """Host name, operating system, CPU, cores (all, and those this process may use), GPU."""
    facts: dict[str, Any] = {
        "hostname": platform.node(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = _gpu_name(device)
    return facts


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that this process may still take: what the machine has free, what its control groups
    have left, and what `ulimit -v` allows, whichever is least. None where nothing can be read."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
    found += _left_in_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    limit, pages = resource.getrlimit(resource.RLIMIT_AS)[0], 0
    if limit != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
        found.append(max(0, limit - pages * resource.getpagesize()))
    return min(found) if found else None


def _left_in_groups(root: Path, listing: Path) -> list[int]:
    """What each control group that this process is in has left, of version 1 and 2, from its own
    up to the root. Within a container the root is what the container may have.

    root: where groups are mounted; listing: the file that says in which this process is.
    """
    found: list[int] = []
    places = {(root, "memory.max", "anon"), (root / "memory", "memory.limit_in_bytes", "total_rss")}
    with contextlib.suppress(OSError, ValueError):
        for line in listing.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            version2, version1 = not controllers, "memory" in controllers.split(",")
            group = Path(path.lstrip("/"))
            for part in (group, *group.parents):
                if version2:
                    places.add((root / part, "memory.max", "anon"))
                elif version1:
                    places.add((root / "memory" / part, "memory.limit_in_bytes", "total_rss"))
    for folder, limit, used in places:
        with contextlib.suppress(OSError, ValueError, KeyError):
            most = int((folder / limit).read_text())  # "max" is no number
            lines = (folder / "memory.stat").read_text().splitlines()
            # Not what is in use altogether: that counts cached files, which give way.
            found.append(most - int(dict(line.split() for line in lines)[used]))
    return found


def memory_in_use(process: int | str = "self") -> int | None:
    """Bytes of memory that a process holds; None where the system does not say."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def has_nvidia_driver() -> bool:
    """Whether there is one that starts: without it torch need not be asked for a GPU."""
    import ctypes

    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except (OSError, AttributeError):
        return False


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers in hardware."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        return any(
            line.startswith("flags") and ("avx512_bf16" in line or "amx_bf16" in line)
            for line in file
        )
    return False


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu_name(device: str) -> str | None:
    try:
        import torch

        return torch.cuda.get_device_name(device)
    except Exception:  # a missing driver raises errors of many kinds
        return None


def checkout(root: Path) -> dict[str, Any] | None:
    """{"commit": 40 hex digits or null, "dirty": bool or null} of the git checkout in a folder.

    None where there is no `.git`: a package installed from a wheel has none beside it, even when
    the virtual environment lies inside some repository.
    """
    if not (root / ".git").exists():
        return None
    return {"commit": _head(root / ".git"), "dirty": _is_dirty(root)}


def _is_dirty(root: Path) -> bool | None:
    # Inside a git hook these variables would point to another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # no git, or too slow
        status = subprocess.run(
            ["git", "--no-optional-locks", "status", "--porcelain"],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            check=True,
        )
        return bool(status.stdout.strip())
    return None


def _head(git: Path) -> str | None:
    """The commit that HEAD names, read from the files: faster and surer than asking git."""
    try:
        if git.is_file():  # a worktree or submodule: "gitdir: <path>"
            git = git.parent / git.read_text().partition(":")[2].strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name, common = head.partition(":")[2].strip(), git
        if (git / "commondir").is_file():
            common = git / (git / "commondir").read_text().strip()
        for folder in (git, common):
            if (folder / name).is_file():
                return (folder / name).read_text().strip()
        for line in (common / "packed-refs").read_text().splitlines():
            if line.endswith(" " + name):
                return line.split()[0]
    except OSError:
        pass
    return None
