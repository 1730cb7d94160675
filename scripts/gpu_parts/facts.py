"""The machine and the libraries."""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
from typing import Any

import torch

from gpu_parts.plan import Case, Found, Plan
from trpo_cli.system.machine import machine


def cases(plan: Plan) -> list[Case]:
    return [Case("machine", facts)]


def facts(plan: Plan, found: Found) -> None:
    found["machine"] = machine(plan.device)
    found["versions"] = {name: _version(name, module) for name, module in MODULES.items()}
    found["cuda"] = torch.version.cuda
    found["cudnn"] = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    found["driver"] = _driver()
    words = [f"{name} {version}" for name, version in found["versions"].items() if version]
    gpu = found["machine"].get("gpu") or "no GPU"
    cores = f"{found['machine']['usable_cores']} cores"
    found["line"] = ", ".join([gpu, found["driver"] or "no driver", cores, *words])


MODULES = {
    "torch": "torch",
    "warp-lang": "warp",
    "mujoco-warp": "mujoco_warp",
    "mujoco": "mujoco",
    "numpy": "numpy",
    "numba": "numba",
    "gymnasium": "gymnasium",
    "ale-py": "ale_py",
    "tensorboard": "tensorboard",
}
"""Packages, and the module of each."""


def _version(package: str, module: str) -> str | None:
    """What the package says, or else the module: one that is only on PYTHONPATH may say nothing."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    with contextlib.suppress(ImportError):
        made: Any = __import__(module)
        return str(getattr(made, "__version__", "without a version"))
    return None


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    return None
