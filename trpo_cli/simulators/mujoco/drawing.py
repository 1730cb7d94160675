"""How MuJoCo's scenes are drawn: with which OpenGL library, and from which camera."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from trpo_cli.errors import UserError

VARIABLE = "MUJOCO_GL"
"""Read by Gymnasium when it first draws. A person may set it: egl, osmesa or glfw."""
OFF_SCREEN = ("egl", "osmesa")
PATIENCE = 60.0
"""Seconds for a library to come up."""
_TRY = """
import sys
import mujoco
library = __import__(f"mujoco.{sys.argv[1]}", fromlist=["GLContext"])
context = library.GLContext(64, 64)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
print("drawn", flush=True)
import os
os._exit(0)
"""


def choose_library() -> None:
    """Let MuJoCo draw with EGL, else with OSMesa, neither of which needs a display; once in a
    process. Each is tried in a process of its own: one that fails leaves its traces, or crashes.

    Raises `UserError` where neither works, which names the packages to install.
    """
    if os.environ.get(VARIABLE) or not sys.platform.startswith("linux"):
        return
    for library in OFF_SCREEN:
        if _works(library):
            os.environ[VARIABLE] = library
            return
    raise UserError(
        "MuJoCo's scenes cannot be drawn here: neither EGL nor OSMesa works. On Debian and Ubuntu "
        "apt install libegl1 (for EGL) or libosmesa6 (for OSMesa) helps."
    )


def follow(env: Any) -> None:
    """Let a task that can walk away be seen from its model's camera "track", which goes with it.
    Gymnasium 1.4 has it stand still unless one is named, and the robot leaves the image."""
    import mujoco

    renderer = getattr(env, "mujoco_renderer", None)
    if renderer is not None and renderer.camera_id == -1:
        kind = mujoco.mjtObj.mjOBJ_CAMERA
        renderer.camera_id = mujoco.mj_name2id(env.model, kind, "track")  # -1 where it has none


def _works(library: str) -> bool:
    environment = {**os.environ, VARIABLE: library}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY, library],
            env=environment,
            capture_output=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"drawn" in tried.stdout
