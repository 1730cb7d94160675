"""MuJoCo's warnings; apart from all that is compiled, which a wrong argument need not wait for."""

from __future__ import annotations

import mujoco


def keep_quiet() -> None:
    """Swallow MuJoCo's warnings, which it would print and write into the working directory.

    Unstable simulations are counted by the simulator instead. A handler that somebody has
    installed already is left alone.
    """
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_ignore)


def _ignore(message: str) -> None:
    pass
