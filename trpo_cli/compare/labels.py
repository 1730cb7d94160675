"""What groups are called: by what tells them apart, or as the command line says."""

from __future__ import annotations

from collections.abc import Sequence

from trpo_cli.errors import UserError
from trpo_cli.settings import suggestion


def parse_names(given: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """ "vpg=REINFORCE" -> {"vpg": "REINFORCE"}. What is renamed is a label, or the rule at the
    beginning of some; labels have equals signs themselves, so that the longest one counts.

    Raises `UserError` for a name that no group has.
    """
    known = sorted({*labels, *(label.partition(" ")[0] for label in labels)}, key=len)
    found = {}
    for text in given:
        matching = [name for name in known if text.startswith(f"{name}=")]
        new = text[len(matching[-1]) + 1 :].strip() if matching else ""
        if not matching:
            wrong = text.rpartition("=")[0] or text
            hint = suggestion(wrong, known) or f" There are {', '.join(known)}."
            raise UserError(f"--label {text}: no group is called {wrong}.{hint}")
        if not new:
            raise UserError(f"--label {text}: give the new name, --label {matching[-1]}=NAME.")
        found[matching[-1]] = new
    return found


def renamed(label: str, names: dict[str, str]) -> str:
    """A label by its new name, or with its rule by its new name."""
    rule, space, rest = label.partition(" ")
    return names.get(label, names.get(rule, rule) + space + rest)


def rename(labels: Sequence[str], given: Sequence[str]) -> list[str]:
    """Of each run the label; raises `UserError` where two groups would have the same one."""
    names = parse_names(given, labels)
    new = {label: renamed(label, names) for label in labels}
    if len(set(new.values())) < len(new):
        twice = next(name for name in new.values() if list(new.values()).count(name) > 1)
        raise UserError(f"--label: two groups would be called {twice}. Give each its own name.")
    return [new[label] for label in labels]


def new_name(rule: str, given: Sequence[str]) -> str:
    """What a rule is called, wherever it stands alone."""
    return next((x.removeprefix(f"{rule}=") for x in given if x.startswith(f"{rule}=")), rule)
