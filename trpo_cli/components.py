"""Components that describe themselves: the update rules, samplers, policies, value functions and
advantage estimators that a run is put together from.

A component's settings are a dataclass with the decorator `component`. It says what the rest of the
program has to know (its traits) and how the component is built (its method `build`, which alone
imports what is heavy). Built-in ones stand in the folder of their group, in a file of their name,
and their defaults in ``conf/<group>/<name>.yaml``. Other people's are named ``module:Class``; their
defaults stand in the class.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trpo_cli.errors import FOREIGN, UserError
from trpo_cli.settings import suggestion

C = TypeVar("C")

HOMES = {
    "algo": "trpo_cli.algos",
    "sampler": "trpo_cli.samplers",
    "policy": "trpo_cli.models.policies",
    "value": "trpo_cli.models.values",
    "advantage": "trpo_cli.estimators",
}
"""The groups of components, and the folder that holds the built-in ones of each."""

ALSO = "with"
"""The key of a YAML file under which stands what it sets where something else is chosen as well."""
TUNED = "tuned"
"""The group of settings that were searched for: no component, and no part of a configuration."""


@dataclass(frozen=True)
class RuleTraits:
    """learns_from: kinds of records: "trajectories", "branches" (of a vine), "evaluations" (of
    perturbed policies). bounds_kl: a bound on the KL fixes the step, so that its gradients and
    Fisher products need full precision and a small network, and no other loss may bend the step.
    keeps_bound: no update goes beyond that bound, which `bound(remaining)` of its settings tells.
    minibatches: works on the samples of a batch one by one. fits_value: can fit V together with
    the policy, on one network; `build` then gets the weight `value_coef` of its loss. reuses: it
    maximises means of r A, so that A may carry the weights of samples that older policies drew."""

    learns_from: tuple[str, ...] = ("trajectories", "branches")
    bounds_kl: bool = False
    keeps_bound: bool = False
    minibatches: bool = False
    fits_value: bool = False
    reuses: bool = False


@dataclass(frozen=True)
class SamplerTraits:
    """gives: the kind of its records, see `RuleTraits.learns_from`. processes: whether several
    processes can share its environments."""

    gives: str = "trajectories"
    processes: bool = False


@dataclass(frozen=True)
class PolicyTraits:
    """images: its network looks at images, and not at vectors of numbers. closed_form: it is an MLP
    in numpy, of which many can act side by side. remembers: its network carries a state from step
    to step of an episode, and learns from whole sequences of steps."""

    images: bool = False
    closed_form: bool = False
    remembers: bool = False


@dataclass(frozen=True)
class ValueTraits:
    """learned: there is a V at all. images: it looks at images as the policy does, and needs a
    policy that does. on_policy: it stands on the policy's network, and a rule that `fits_value`
    fits both together. by_epochs: its settings have `epochs`, and its `fit` takes how many of these
    passes to make."""

    learned: bool = True
    images: bool = False
    on_policy: bool = False
    by_epochs: bool = False


@dataclass(frozen=True)
class EstimatorTraits:
    """needs_value: V is a part of the estimate. from_start: each estimate counts from the first
    step of its trajectory."""

    needs_value: bool = False
    from_start: bool = False


@dataclass(frozen=True)
class AutoTraits:
    """A stand-in, decided before training. choose: (rule's traits, images) -> an option's name;
    shown: the option whose settings may be given to it. learned: see `ValueTraits`."""

    choose: Callable[[RuleTraits, bool], str]
    shown: str
    learned: bool = True


def component(group: str) -> Callable[[type[C]], type[C]]:
    """The decorator of a component's settings, above ``@dataclass``.

    It puts the field `name` in front, by which the command line and config.yaml name the
    component, and gives every field without a default the value in the component's YAML file.
    """

    def made(kind: type[C]) -> type[C]:
        module = kind.__module__
        own = module.startswith(HOMES[group] + ".")
        name = module.rpartition(".")[2] if own else f"{module}:{kind.__qualname__}"
        known = {"help": f"the option of {group}", "choices": (name,)}
        first = ("name", str, dataclasses.field(default=name, metadata=known))
        result: Any = _filled(kind, [first], lambda: defaults(group, name))
        result.group = group
        return result

    return made


def from_file(section: str = "") -> Callable[[type[C]], type[C]]:
    """The same for a plain section of the configuration: defaults from ``conf/config.yaml``."""

    def content() -> dict[str, Any]:
        whole = read_yaml(conf_dir() / "config.yaml")
        return whole[section] if section else whole

    return lambda kind: _filled(kind, [], content)


def _filled(kind: type[C], first: list[Any], content: Callable[[], dict[str, Any]]) -> type[C]:
    """A dataclass made again with more fields in front, its missing defaults read from a file."""

    def default(key: str) -> Any:
        values = content()
        if key not in values:
            raise TypeError(f"{kind.__module__}.{kind.__qualname__}: {key} has no default")
        return copy.copy(values[key])

    fields = list(first)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        given: dict[str, Any] = {"default": field.default}
        if field.metadata.get("in_file"):
            given = {"default_factory": functools.partial(default, field.name)}
        elif field.default_factory is not dataclasses.MISSING:
            given = {"default_factory": field.default_factory}
        fresh: Any = dataclasses.field(metadata=field.metadata, **given)
        fields.append((field.name, field.type, fresh))
    made: Any = dataclasses.make_dataclass(kind.__name__, fields, bases=(kind,))
    made.__module__, made.__qualname__, made.__doc__ = (
        kind.__module__, kind.__qualname__, kind.__doc__
    )  # fmt: skip
    return made


def options(group: str) -> dict[str, type]:
    """The built-in components of a group by their names: those that have a YAML file."""
    return {name: load(group, name) for name in file_names(group)}


def file_names(group: str) -> list[str]:
    """The YAML files that come with the programme for a group, without their ending."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@functools.cache
def load(group: str, name: str) -> Any:
    """The settings class of a component, built-in or ``module:Class``.

    Raises `UserError` when there is none of that name. A module is imported only because somebody
    named it: on the command line, or in the configuration of the run that goes on.
    """
    if ":" in name.strip(":"):
        return _foreign(group, name)
    if not (conf_dir() / group / f"{name}.yaml").is_file():
        known = file_names(group)
        raise UserError(
            f"{group}={name} is not one of its options: {', '.join(known)}."
            + (suggestion(name, known) or f" One of your own is written {group}=module:Class.")
        )
    module = importlib.import_module(f"{HOMES[group]}.{name}")
    return next(
        kind
        for kind in vars(module).values()
        if getattr(kind, "group", None) == group and kind.__module__ == module.__name__
    )


def _foreign(group: str, name: str) -> Any:
    """Somebody else's component."""
    path, _, attribute = name.partition(":")
    module = imported(path, f"{group}={name}")
    kind = getattr(module, attribute, None)
    if kind is None:
        named = [key for key, value in vars(module).items() if hasattr(value, "group")]
        raise UserError(
            f"{group}={name}: the module {path} has no {attribute}.{suggestion(attribute, named)}"
        )
    theirs = getattr(kind, "group", None)
    if theirs != group or not dataclasses.is_dataclass(kind):
        what = f"a component of the group {theirs}" if theirs else "no component"
        raise UserError(
            f"{group}={name}: {attribute} is {what}. It has to be a dataclass with the decorator "
            f'@component("{group}") above @dataclass.'
        )
    missing = [field.name for field in dataclasses.fields(kind) if field.metadata.get("in_file")]
    if missing:
        raise UserError(
            f"{group}={name}: {attribute}.{missing[0]} has no default; "
            "write setting(default, help)."
        )
    lacking = [part for part in ("traits", "build") if not hasattr(kind, part)]
    if lacking:
        raise UserError(
            f"{group}={name}: {attribute} has no {lacking[0]}. Its traits say what the program has "
            "to know of it, and its method build makes it."
        )
    return kind


def imported(module: str, said: str) -> types.ModuleType:
    """A module that somebody named, installed or a file in the working directory.

    said: how it was named, for the `UserError` when it cannot be imported.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: nothing that is installed can be hidden by it
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            reason = f"there is no module {error.name} on Python's path"
            hint = "Install the package, or set PYTHONPATH to the folder that holds it."
        else:
            reason = f"it needs the module {error.name}, which is not installed"
            hint = f"Install {error.name}."
        raise UserError(f"{said}: {module} cannot be imported: {reason}. {hint}") from None
    except FOREIGN as error:
        raise UserError(
            f"{said}: importing {module} failed with {type(error).__name__}: {error}."
        ) from error


def defaults(group: str, name: str) -> dict[str, Any]:
    """The settings that a built-in component's YAML file gives it."""
    content = read_yaml(conf_dir() / group / f"{name}.yaml")
    section = content.get(group, {}) if group == "algo" else content
    return {key: value for key, value in section.items() if key not in ("defaults", "name")}


def set_with(folder: Path, chosen: str, choice: str) -> dict[str, Any]:
    """What the YAML file of `chosen` (such as algo/ppo) sets where `choice` (such as value=mlp) was
    made as well."""
    also: dict[str, Any] = read_yaml(folder / f"{chosen}.yaml").get(ALSO) or {}
    return dict(also.get(choice) or {})


@functools.cache
def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file; empty where there is no such file."""
    import yaml

    if not path.is_file():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader) or {}
    return content


@functools.cache
def conf_dir() -> Path:
    """The folder of YAML files: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"
