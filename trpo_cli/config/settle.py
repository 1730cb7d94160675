"""What a configuration leaves open and the observations decide: networks, precision, frame size.

`policy=auto`, `value=auto` and `policy.precision=auto` stand for a choice that is made once, before
training, and written into the run's ``config.yaml``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trpo_cli.config import (
    AtariConfig,
    AutoPolicyConfig,
    CNNValueConfig,
    Config,
    MLPPolicyConfig,
    MLPValueConfig,
    NatureCNNPolicyConfig,
    SharedValueConfig,
    TRPOCNNPolicyConfig,
    conf_dir,
)
from trpo_cli.data.frames import colours_last
from trpo_cli.errors import UserError
from trpo_cli.simulators.atari.settings import frame_size
from trpo_cli.simulators.make import is_emulated
from trpo_cli.system.machine import has_fast_bfloat16, has_nvidia_driver

CNNS = ("nature_cnn", "trpo_cnn")
TRUST_REGION = ("npg", "trpo")
# A quarter of the Atari screen, 210 x 160: with it the paper's network has its 33,500 parameters.
TRPO_CNN_FRAME = (52, 40)


def settle(config: Config, images: bool) -> Config:
    """The configuration with every `auto` decided.

    images: whether the environment shows images. Raises `UserError` for networks that do not
    fit it, or each other.
    """
    trust_region = config.algo.name in TRUST_REGION
    policy, value = config.policy, config.value
    if policy.name == "auto":
        cnn = TRPOCNNPolicyConfig if trust_region else NatureCNNPolicyConfig
        policy = _decide(policy, MLPPolicyConfig, cnn if images else None, {})
    if value.name == "auto":
        cnn_value = CNNValueConfig if trust_region else SharedValueConfig
        wants = cnn_value if policy.name in CNNS else None
        value = _decide(value, MLPValueConfig, wants, _tuned(f"{config.algo.name}_auto"))
    if policy.name in CNNS and not images:
        raise UserError(
            f"policy={policy.name} is for images, and env={config.env.id} shows none; "
            "try policy=mlp."
        )
    if value.name in ("cnn", "shared") and policy.name not in CNNS:
        raise UserError(
            f"value={value.name} goes with policy=nature_cnn or policy=trpo_cnn, not with "
            f"policy={policy.name}; try value=mlp."
        )
    if value.name in ("mlp", "quadratic") and policy.name in CNNS:
        raise UserError(
            f"value={value.name} cannot look at images as policy={policy.name} does; try "
            "value=cnn or value=shared."
        )
    if policy.name in CNNS and policy.precision == "auto":
        on_cpu = choose_device(config.device, policy)[0] == "cpu"
        fast = on_cpu and not trust_region and has_fast_bfloat16()
        policy = dataclasses.replace(policy, precision="bfloat16" if fast else "float32")
    env = config.env
    if policy.name in CNNS and is_emulated(env):
        env = dataclasses.replace(env, atari=_frames(env.atari, policy.name))
    return dataclasses.replace(config, policy=policy, value=value, env=env)


def settle_game(config: Config) -> Config:
    """`settle` as far as it goes before an environment is built: the network decides the size of
    the frames of an emulated game, and others are left alone."""
    return settle(config, images=True) if is_emulated(config.env) else config


def _frames(atari: AtariConfig, policy: str) -> AtariConfig:
    """The preprocessing of an emulated game that a convolutional network looks at."""
    if policy == "trpo_cnn" and atari.frame_height is None and atari.frame_width is None:
        height, width = TRPO_CNN_FRAME
        atari = dataclasses.replace(atari, frame_height=height, frame_width=width)
    height, width = frame_size(atari)
    if colours_last((atari.frame_stack, height, width)):
        raise UserError(
            f"env.atari.frame_stack={atari.frame_stack} is too high for frames of {height} x "
            f"{width}: such a stack looks like an image with its colours last. Try a lower one, "
            "or larger frames."
        )
    return atari


def _decide(auto: Any, plain: type, cnn: type | None, tuned: dict[str, Any]) -> Any:
    """`plain` with the settings given, or `cnn` with those that differ from their defaults.

    tuned: what our own files set for `plain`; nobody asked `cnn` for it.
    """
    given = {f.name: getattr(auto, f.name) for f in dataclasses.fields(auto) if f.name != "name"}
    if cnn is None:
        return plain(**given)
    chosen = cnn()
    unsaid = {k: [getattr(type(auto)(), k)] for k in given}
    for name, value in tuned.items():
        unsaid[name].append(value)
    said = {k: v for k, v in given.items() if v not in unsaid[k]}
    for name, value in said.items():
        if not hasattr(chosen, name):
            group = "policy" if isinstance(auto, AutoPolicyConfig) else "value"
            raise UserError(
                f"{group}.{name}={value} is a setting of {group}=mlp; for images "
                f"{group}={chosen.name} is chosen, which has none. Leave it out, or choose a "
                f"{group} by its name."
            )
    return dataclasses.replace(chosen, **said)


def _tuned(name: str) -> dict[str, Any]:
    """What a file of conf/tuned, and those that it begins with, set of the value function."""
    import yaml

    path = conf_dir() / "tuned" / f"{name}.yaml"
    settings = yaml.safe_load(path.read_text()) if path.exists() else {}
    others = [other for other in settings.get("defaults", []) if other != "_self_"]
    found = {key: value for other in others for key, value in _tuned(other).items()}
    return {**found, **settings.get("value", {})}


def choose_device(device: str, policy: Any) -> tuple[str, str]:
    """The device that networks run on ("cpu" or "cuda"), and why that one.

    `auto` takes the GPU for convolutional networks only: a small MLP is faster on a CPU,
    where nothing has to travel.
    """
    if device != "auto":
        return device, "as asked"
    if policy.name not in CNNS:
        return "cpu", f"a policy of this size ({policy.name}) is fastest there"
    if has_nvidia_driver():
        import torch

        if torch.cuda.is_available():
            return "cuda", "a GPU is faster with convolutions"
    return "cpu", "there is no usable GPU"
