"""The wheel carries the YAML files and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_composes_in_any_folder(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    run(*pip, *build, str(REPOSITORY), cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies come from this environment; as a .pth line they stand behind the wheel, and
    # the .pth files in there (an editable installation's) are not followed.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    Path(site.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    where = run(python, "-c", "import trpo_cli; print(trpo_cli.__file__)", cwd=tmp_path)
    assert where.startswith(site.strip())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = tmp_path / "venv" / "bin" / "trpo-run"
    assert "algo.max_kl=" in run(command, "--help", cwd=elsewhere)
    shown = run(command, "--cfg", "job", "env=Swimmer-v4", "algo=ppo", cwd=elsewhere)
    assert "discount: 0.9999" in shown and "clip_range" in shown
    stored = "from trpo_cli.reference.store import SETTINGS, packaged; "
    stored += "print((packaged() / SETTINGS).is_file())"
    assert run(python, "-c", stored, cwd=elsewhere) == "True\n"
    assert list(elsewhere.iterdir()) == []
    # Sweeps: our launcher is known, and its workers find the package.
    words = ["seed=1", "env=CartPole-v1", "total_steps=1", "eval.episodes=0", "hydra.sweep.dir=s"]
    assert "run 0 finished" in run(command, "-m", *words, cwd=elsewhere)
