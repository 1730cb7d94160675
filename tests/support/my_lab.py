"""The file my_lab.py that the pages of docs/extend write: all their Python, joined."""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "extend"


def blocks(page: str, language: str = "python") -> list[str]:
    text = (PAGES / f"{page}.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def write(folder: Path) -> Path:
    """Put the file into a folder; returns the folder."""
    code = [block for page in sorted(PAGES.glob("*.md")) for block in blocks(page.stem)]
    (folder / "my_lab.py").write_text("\n\n".join(code))
    return folder
