"""Damage to a file, as a disk, an editor or a mixed-up copy does it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path


def damage(generator: random.Random, run_dir: Path, pattern: str, other: Path) -> str:
    """Damage one file or folder of a run; returns what was done. other: another run's directory."""
    found = sorted(run_dir.glob(pattern))
    if not found:
        return "nothing"
    path = generator.choice(found)
    name = str(path.relative_to(run_dir))
    if path.is_symlink() or path.is_dir():
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
        return f"{name} removed"
    data = path.read_bytes()
    lines, place = data.splitlines(keepends=True), generator.randrange(max(1, len(data)))
    number = generator.randrange(max(1, len(lines)))
    theirs = sorted(other.glob(pattern))
    kinds = ["flipped", "flipped", "digit", "shortened", "torn", "zeros", "garbage", "removed"]
    kinds += ["line lost", "line twice", "lines swapped", "theirs", "their line"]
    kind = generator.choice(kinds)
    if kind == "flipped":
        data = data[:place] + bytes([data[place] ^ 1 << generator.randrange(8)]) + data[place + 1 :]
    elif kind == "digit":
        digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
        place = generator.choice(digits or [place])
        data = data[:place] + str(generator.randrange(10)).encode() + data[place + 1 :]
    elif kind == "shortened":
        data = data[:place]
    elif kind == "torn":
        data = data[: -generator.randrange(1, 40)]
    elif kind == "zeros":
        data = data[:place] + bytes(len(data) - place)
    elif kind == "garbage":
        data += generator.randbytes(generator.randrange(1, 100))
    elif kind == "line lost":
        data = b"".join(lines[:number] + lines[number + 1 :])
    elif kind == "line twice":
        data = b"".join(lines[: number + 1] + lines[number:])
    elif kind == "lines swapped" and len(lines) > 1:
        lines[number], lines[number - 1] = lines[number - 1], lines[number]
        data = b"".join(lines)
    elif kind == "theirs" and theirs:
        data = theirs[0].read_bytes()
    elif kind == "their line" and theirs:
        their = theirs[0].read_bytes().splitlines(keepends=True)
        data = b"".join([*lines[:number], generator.choice(their), *lines[number:]])
    if kind == "removed":
        path.unlink()
    else:
        path.write_bytes(data)
    return f"{name} {kind} at byte {place}, line {number + 1}"
