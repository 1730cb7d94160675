"""Tab completion of the six commands: what a shell is told once, and what a press of Tab offers.

``trpo-run -sc query=SHELL`` answers for all of them, so that one line in a shell's start file is
enough. A press has to be quick: no Hydra, no torch, and what a parser knows comes from the parser.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterable, Sequence

from trpo_cli.commands.arguments import Parser
from trpo_cli.commands.hydra import completion as overrides
from trpo_cli.commands.hydra.completion import folders
from trpo_cli.commands.hydra.options import known_settings
from trpo_cli.errors import UserError

MODULES = {
    "trpo-eval": "evaluate",
    "trpo-compare": "compare",
    "trpo-export": "export",
    "trpo-tune": "tune",
}
COMMANDS = ("trpo-run", *MODULES, "trpo-lab")
LAST = ("trpo-eval", "trpo-compare", "trpo-export")
"""Commands whose folders may be called last."""
YAML = ("space", "candidates")
"""Options that take such a file."""

BASH = r"""
_trpo_cli() {
    local line=${COMP_LINE:0:COMP_POINT} program=trpo-run cur=${COMP_WORDS[COMP_CWORD]} one
    local word=${line##* }
    case $1 in */*) program=${1%/*}/trpo-run ;; esac
    case $cur in = | :) cur= ;; esac
    local before=${word%"$cur"}
    COMPREPLY=()
    while IFS= read -r one; do
        case $one in *[=./]) ;; *) one="$one " ;; esac
        COMPREPLY+=("${one#"$before"}")
    done < <(COMP_LINE=$line COMP_POINT=${#line} "$program" -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _trpo_cli COMMANDS
"""

ZSH = r"""
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_trpo_cli() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" program=trpo-run
    local -a found
    [[ $words[1] == */* ]] && program=${words[1]:h}/trpo-run
    found=("${(@f)$(COMP_LINE=$line COMP_POINT=${#line} $program -sc query=zsh 2>/dev/null)}")
    compadd -S '' -- ${(M)found:#*[=./]}
    compadd -- ${found:#*[=./]}
}
compdef _trpo_cli COMMANDS
"""

FISH = r"""
function __trpo_cli
    set -lx COMP_LINE (commandline -cp)
    set -lx COMP_POINT (string length -- $COMP_LINE)
    trpo-run -sc query=fish 2>/dev/null
end
for one in COMMANDS
    complete -c $one -f -a '(__trpo_cli)'
end
"""

INSTALL = {"bash": BASH, "zsh": ZSH, "fish": FISH}
UNINSTALL = {
    "bash": "complete -r COMMANDS",
    "zsh": "compdef -d COMMANDS",
    "fish": "for one in COMMANDS; complete -c $one -e; end",
}


def shell_completion(words: Sequence[str]) -> int:
    """Print a shell's script for install=SHELL or uninstall=SHELL, candidates for query=SHELL, one
    a line. Raises `UserError` for anything else."""
    action, _, shell = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if shell not in INSTALL or action not in ("install", "uninstall", "query"):
        raise UserError(
            f"-sc {' '.join(words)}: write -sc install=bash, uninstall=bash or query=bash; the "
            f"shells are {', '.join(INSTALL)}."
        )
    if action == "query":
        line = os.environ.get("COMP_LINE", "")
        line = line[: int(os.environ.get("COMP_POINT") or len(line))]
        print("".join(f"{one}\n" for one in candidates(line)), end="")
        return 0
    script = (INSTALL if action == "install" else UNINSTALL)[shell]
    print(script.strip().replace("COMMANDS", " ".join(COMMANDS)))
    return 0


def candidates(line: str) -> list[str]:
    """What the last word of a command line may become; it is empty behind a space."""
    first, *before, word = line.split(" ")
    command, words = first.rpartition("/")[2], [w for w in before if w]
    if command == "trpo-lab":
        return _of_lab(words, word)
    if command not in MODULES:
        return overrides.candidates(line)
    module = importlib.import_module(f"trpo_cli.commands.{MODULES[command]}")
    found = _of_parser(module.make_parser(), words, word)
    if found is not None:
        return found
    if command in LAST:
        there = sorted(folders(word, last=True))
        return [*there, *_of_other_tools(word)] if command == "trpo-compare" else there
    return overrides.candidates(line)


def _of_lab(words: Sequence[str], word: str) -> list[str]:
    from trpo_cli.commands import lab

    if not words:
        return [n for n in (*lab.EXPERIMENTS, "--help", "--version") if n.startswith(word)]
    if (key := words[0].replace("-", "_")) not in lab.EXPERIMENTS:
        return []
    return _of_parser(lab.make_parser(key, lab.experiment_named(key)), words[1:], word) or []


def _of_other_tools(word: str) -> list[str]:
    """sb3=, tb= and csv= with what may stand behind them."""
    from trpo_cli.compare.foreign import FORMS

    kind, equals, begun = word.partition("=")
    if not equals:
        return [f"{name}=" for name in FORMS if name.startswith(word)]
    if kind not in FORMS:
        return []
    ending = ".csv" if kind == "csv" else ""
    return [f"{kind}={path}" for path in sorted(folders(begun, ending=ending))]


def _of_parser(parser: Parser, words: Sequence[str], word: str) -> list[str] | None:
    """Flags and their values; None where the word is neither."""
    flags = parser.flags()
    if words and (behind := flags.get(words[-1])) is not None and behind.nargs != 0:
        return sorted(_values(behind, word))
    flag, equals, value = word.partition("=")
    if equals and flag in flags:
        return sorted(f"{flag}={one}" for one in _values(flags[flag], value))
    return sorted(f for f in flags if f.startswith(word)) if word.startswith("-") else None


def _values(action: argparse.Action, begun: str) -> Iterable[str]:
    """What an option's value may become."""
    if action.metavar in ("DIR", "FOLDER", "FILE"):
        return folders(begun, ending=".yaml" if action.dest in YAML else "")
    head, comma, rest = begun.rpartition(",")  # the last of several values
    said = head.split(",")
    return [head + comma + v for v in _known(action) if v.startswith(rest) and v not in said]


def _known(action: argparse.Action) -> Iterable[str]:
    """All values of an option that are known beforehand."""
    if action.choices:
        return map(str, action.choices)
    if action.dest == "checkpoint":
        return ("last", "best")
    if action.dest == "by":
        return (*dict.fromkeys(s.key for s in known_settings({})), "version", "folder")
    if action.dest == "allow":
        from trpo_cli.compare.refusals import ALLOW

        return ALLOW
    if action.dest == "format":
        from trpo_cli.compare.record import KINDS

        return KINDS
    return ()
