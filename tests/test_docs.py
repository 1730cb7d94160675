"""What README.md, CONTRIBUTING.md and docs/ say of files, names, commands and settings is so."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import my_lab
from tests.test_imports import LAYERS
from trpo_cli.commands.hydra.compose import config_of
from trpo_cli.commands.hydra.options import all_settings
from trpo_cli.commands.lab import EXPERIMENTS
from trpo_cli.config import Config
from trpo_cli.config.schema import all_options

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
every_page = pytest.mark.parametrize("page", PAGES)

PATH = re.compile(r"(?<![\w./:-])[\w.*-]+(?:/[\w.*-]+)+\.(?:py|md|yaml|png)\b")
HOMES = (ROOT, ROOT / "trpo_cli", ROOT / "tests")
NAMED = re.compile(r"([\w/]+\.py)?((?:::\w+)+)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = {
    "trpo-run": "trpo_cli.commands.run",
    "trpo-eval": "trpo_cli.commands.evaluate",
    "trpo-compare": "trpo_cli.commands.compare",
    "trpo-export": "trpo_cli.commands.export",
    "trpo-tune": "trpo_cli.commands.tune",
    "trpo-lab": "trpo_cli.commands.lab",
}
OVERRIDE = re.compile(r"[+~]?[\w./@-]+=.*")
PLACEHOLDER = re.compile(r"=\.\.\.$|\b[A-Z_]{2,}\b(?!/)|<\w+>|=$")
UNFINISHED = ("...", "resume=", "init=")  # an ellipsis; a run that is there


@pytest.fixture(autouse=True, scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The file my_lab.py, which the pages on components of your own write, can be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(my_lab.write(tmp_path_factory.mktemp("lab")))
        yield


def found(path: str) -> list[Path]:
    return [hit for home in HOMES for hit in home.glob(path)]


def code(text: str) -> Iterator[str]:
    """What a reader may type: the lines of code blocks and what stands in backticks."""
    blocks: list[str] = []
    prose: list[str] = []
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # Python, YAML
    for line in text.replace("\\\n", " ").splitlines():
        (blocks if line.startswith("    ") else prose).append(line)
    yield from (line.strip() for line in blocks)
    for span in re.findall(r"`([^`]+)`", "\n".join(prose)):
        yield " ".join(span.split())


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each of our commands with its words, as a shell would split them."""
    for line in code(text):
        ran = re.match(r'make run ARGS="(.*)"|(?:torchrun|python) .*-m trpo_cli\b(.*)', line)
        if ran:
            line = f"trpo-run {ran[1] or ran[2]}"
        name, _, rest = line.partition(" ")
        if name in COMMANDS:
            yield name, shlex.split(rest, comments=True)


def overrides(words: list[str]) -> list[str]:
    """The settings among a command's words, of a sweep those of its first run."""
    chosen = []
    for word in words:
        if OVERRIDE.match(word) and not word.startswith("-"):
            key, _, value = word.partition("=")
            first = value if value.startswith(("[", "{")) else value.split(",")[0]
            chosen.append(f"{key}={first}")
    return chosen


def anchors(text: str) -> set[str]:
    """The names that the site gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@cache
def composed(*words: str) -> Config:
    return config_of(*words)


@cache
def names_in(path: Path) -> set[str]:
    """Functions and classes of a file, ``Class::method`` for what is in a class."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            names |= {f"{node.name}::{n.name}" for n in inner if isinstance(n, ast.FunctionDef)}
    return names


@every_page
class TestPages:
    def test_paths_exist(self, page: str) -> None:
        named = {p for p in PATH.findall(PAGES[page]) if not p.startswith("outputs/")}
        named -= {link.partition("#")[0] for link in LINK.findall(PAGES[page])}
        assert [p for p in sorted(named) if not found(p)] == []

    def test_links_lead_somewhere(self, page: str) -> None:
        """To a file, and where they name a heading of it, to that."""
        links = [link for link in LINK.findall(PAGES[page]) if "://" not in link]
        broken = []
        for link in links:
            name, _, anchor = link.partition("#")
            target = (ROOT / page).parent / name if name else ROOT / page
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(link)
        assert broken == []

    def test_rows_of_a_table_have_as_many_cells(self, page: str) -> None:
        tables = re.findall(r"(?:^\|.*\n)+", PAGES[page] + "\n", re.MULTILINE)
        for table in tables:
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(cells) == 1, table[:80]

    def test_names_are_in_their_files(self, page: str) -> None:
        """path.py::Name, and ::Name for another one of the file before it."""
        missing, path = [], ""
        for span in re.findall(r"`([^`\n]*::\w[^`\n]*)`", PAGES[page]):
            match = NAMED.fullmatch(span)
            assert match, span
            path = match[1] or path
            if not any(match[2][2:] in names_in(file) for file in found(path)):
                missing.append(f"{path}{match[2]}")
        assert missing == []

    def test_runs_compose(self, page: str) -> None:
        for name, words in commands(PAGES[page]):
            plain = [w for w in words if not w.startswith("-")]
            if name not in ("trpo-run", "trpo-tune"):
                continue
            if any(PLACEHOLDER.search(w) or w.startswith(UNFINISHED) for w in plain):
                continue
            composed(*overrides(words))

    def test_options_are_in_the_help(self, page: str, capsys: pytest.CaptureFixture[str]) -> None:
        for name, words in commands(PAGES[page]):
            experiment = []
            if name == "trpo-lab" and words and words[0] != "NAME" and words[0][0] != "-":
                assert words[0].replace("-", "_") in EXPERIMENTS, words[0]
                experiment = words[:1]
            options = [w.partition("=")[0] for w in words if w.startswith("--")]
            if options:
                text = help_of(name, experiment, capsys)
                assert [o for o in options if not re.search(rf"{o}\b", text)] == [], name

    def test_settings_and_metrics_exist(self, page: str) -> None:
        """What stands in backticks as section.key or section.key=value, and as section/metric."""
        known = {s.key for s in all_settings()} | {"policy.parameters"}  # an attribute
        spans = [span.partition("=")[0] for span in re.findall(r"`([^`\n]+)`", PAGES[page])]
        sections = "algo|sampler|policy|value|advantage|eval|checkpoint|env"
        keys = [s for s in spans if re.fullmatch(rf"(?:{sections})\.(?!jsonl|npz)(?:\w+\.)*\w+", s)]
        keys = [k for k in keys if not k.startswith("env.kwargs.")]  # the environment's own
        assert [k for k in keys if not any(x == k or x.startswith(f"{k}.") for x in known)] == []
        metrics = [
            s for s in spans if re.fullmatch(r"(?:policy|trust_region|value|vine|es)/\w+", s)
        ]
        assert [m for m in metrics if f'"{m}"' not in source()] == []

    def test_scripts_and_targets_exist(self, page: str) -> None:
        makefile = (ROOT / "Makefile").read_text()
        for line in code(PAGES[page]):
            words = line.split()
            if words[0] == "make" and len(words) > 1:
                assert f"\n{words[1]}:" in makefile, line
            if words[:2] == ["python", "-m"] and words[2] != "trpo_cli":
                assert found(words[2].replace(".", "/") + ".py"), line
            if words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
                script = (ROOT / words[1]).read_text()
                assert [w for w in words if w[:2] == "--" and f'"{w}"' not in script] == []


OPTION = re.compile(r"(?<![\w`-])--?[a-zA-Z][\w-]*")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_on_its_command_s_page(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the help text, of all experiments where the command has such."""
    page = PAGES[f"docs/commands/{name}.md"]
    experiments = [[e] for e in EXPERIMENTS] if name == "trpo-lab" else []
    for words in [[], *experiments]:
        text = help_of(name, words, capsys)
        section = text.partition("\noptions")[2].partition("\n\n")[0]
        options = set(re.findall(r"^  (-.*?)(?:  |$)", section, re.MULTILINE))
        named = {o for line in options for o in OPTION.findall(line)}
        assert named or name == "trpo-lab"
        assert [o for o in sorted(named) if not re.search(rf"`{o}\b|`[^`]* {o}\b", page)] == []


def test_settings_outside_the_groups_are_on_the_page_of_trpo_run() -> None:
    text, config = PAGES["docs/commands/trpo-run.md"], composed()
    keys = [s.key for s in all_settings() if s.option is None and s.key != "env.id"]
    last = {key: key.rpartition(".")[2] if key.startswith("env.atari.") else key for key in keys}
    assert [key for key in keys if f"`{last[key]}`" not in text] == []
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \|", text, re.MULTILINE)
    assert len(rows) > 10
    assert {key: read(value) for key, value in rows} == {k: setting(config, k) for k, _ in rows}


@cache
def source() -> str:
    return "".join(path.read_text() for path in (ROOT / "trpo_cli").rglob("*.py"))


def test_every_page_is_in_the_site_s_navigation() -> None:
    """In mkdocs.yml, once each."""
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    pages = [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]
    assert sorted(named) == sorted(pages)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_every_folder_of_the_package_has_its_place(page: str) -> None:
    folders = [p.parent.name for p in (ROOT / "trpo_cli").glob("*/__init__.py")]
    assert len(folders) > 15
    assert [f for f in folders if not re.search(rf"\b{f}\b", PAGES[page])] == []


def test_the_layers_are_those_of_the_imports() -> None:
    """A part may import from the rows below its own only; every part has its row."""
    section = PAGES["docs/architecture.md"].partition("## Layers")[2].partition("## ")[0]
    rows = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| ([^|]+) \|", section, re.M)]
    height = {part: -row for row, parts in enumerate(rows) for part in parts}
    assert height.keys() == {part for part in LAYERS if not part.startswith("__")}
    for part, below in LAYERS.items():
        for other in below.split() if part in height else []:
            assert other.startswith("__") or height[other] < height[part], (part, other)


def test_there_is_something_to_check() -> None:
    """Should the pages' style change, the patterns above must not go blind."""
    assert len(list(commands(PAGES["README.md"]))) > 10
    assert len(list(commands(PAGES["docs/lectures.md"]))) > 50
    assert len(PATH.findall(PAGES["docs/lectures.md"])) > 100


def help_of(name: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        every = "--help=all" if name == "trpo-run" else "--help"
        importlib.import_module(COMMANDS[name]).main([*words, every])
    except SystemExit as leaving:
        assert not leaving.code
    return capsys.readouterr().out


# Pages of settings: the page, the command that has them, their sections and dataclasses.
SETTINGS: dict[str, tuple[str, list[tuple[str, type]]]] = {
    name: (f"algo={name}", [("algo", kind)]) for name, kind in all_options()["algo"].items()
}
SETTINGS["vine"] = "sampler=vine", [("sampler", all_options()["sampler"]["vine"])]
SETTINGS["es"][1].append(("sampler", all_options()["sampler"]["perturbations"]))


@pytest.mark.parametrize("name", SETTINGS)
class TestSettings:
    def test_each_is_named(self, name: str) -> None:
        text = PAGES[f"docs/algorithms/{name}.md"]
        for section, kind in SETTINGS[name][1]:
            fields = [f.name for f in dataclasses.fields(kind) if f.name != "name"]
            assert [f for f in fields if f"`{section}.{f}`" not in text] == []

    def test_defaults_are_those_of_the_command(self, name: str) -> None:
        """In rows of a table with as many values as keys."""
        config, compared = composed(SETTINGS[name][0]), 0
        text = PAGES[f"docs/algorithms/{name}.md"].partition("## Settings")[2].partition("##")[0]
        for first, second in re.findall(r"^\| (`[^|]*`) \| ([^|]+) \|", text, re.MULTILINE):
            keys, values = first.replace("`", "").split(", "), second.replace("`", "").split(", ")
            if len(keys) != len(values):
                continue
            for key, value in zip(keys, values, strict=True):
                assert read(value) == pytest.approx(setting(config, key)), key
                compared += 1
        assert compared


def setting(config: Any, key: str) -> Any:
    """A dotted key's value; for a group, the name of its option."""
    for part in key.split("."):
        config = getattr(config, part)
    return getattr(config, "name", config)


def read(text: str) -> Any:
    """A value as the command line takes it; YAML alone would call 1e-3 a word."""
    try:
        return float(text)
    except ValueError:
        return yaml.safe_load(text)


@pytest.mark.parametrize("name", all_options()["advantage"])
def test_estimators_are_explained(name: str) -> None:
    text = PAGES["docs/estimators.md"]
    assert f"| `{name}`" in text
    fields = [
        f.name for f in dataclasses.fields(all_options()["advantage"][name]) if f.name != "name"
    ]
    assert [f for f in fields if f"advantage.{f}" not in text] == []
