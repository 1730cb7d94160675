"""What a configuration leaves open and the observations decide: networks, precision, frame size.

`policy=auto`, `value=auto` and `policy.precision=auto` stand for a choice that is made once, before
training, and written into the run's ``config.yaml``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trpo_cli.components import conf_dir, load, set_with
from trpo_cli.config.checks import check_floor
from trpo_cli.config.schema import Config, is_auto
from trpo_cli.errors import UserError
from trpo_cli.settings import check_ranges
from trpo_cli.system.machine import has_fast_bfloat16, has_nvidia_driver, usable_cores

EPISODES, EPISODES_OF_IMAGES = 20, 10
"""Of an evaluation. Those with images are slow, and the second half would wait for the first: they
are stepped side by side."""


def settle(config: Config, images: bool, emulated: bool = False) -> Config:
    """The configuration with every `auto` decided.

    images: whether the environment shows images. emulated: it is a game whose frames the emulator
    makes, in the size that the network wants. Raises `UserError` for networks that do not fit it,
    or each other.
    """
    rule = config.algo.traits
    policy = _decided("policy", config, images)
    check_floor(policy)
    value = _decided("value", config, policy.traits.images)
    looks = policy.traits.images
    if looks and not images:
        raise UserError(
            f"policy={policy.name} is for images, and env={config.env.id} shows none; "
            "try policy=mlp."
        )
    if value.traits.images and not looks:
        raise UserError(
            f"value={value.name} goes with policy=nature_cnn or policy=trpo_cnn, not with "
            f"policy={policy.name}; try value=mlp."
        )
    if value.traits.learned and looks and not value.traits.images:
        raise UserError(
            f"value={value.name} cannot look at images as policy={policy.name} does; try "
            "value=cnn or value=shared."
        )
    if getattr(policy, "precision", "") == "auto":
        on_cpu = choose_device(config.device, policy, config.env.backend)[0] == "cpu"
        fast = on_cpu and not rule.bounds_kl and has_fast_bfloat16()
        policy = dataclasses.replace(policy, precision="bfloat16" if fast else "float32")
    env, frame = config.env, getattr(policy, "frame", None)
    atari = env.atari
    if emulated and frame and atari.frame_height is None and atari.frame_width is None:
        height, width = frame
        atari = dataclasses.replace(atari, frame_height=height, frame_width=width)
        env = dataclasses.replace(env, atari=atari)
    if env.vector == "workers" and not env.workers:
        cores = min(usable_cores(), config.sampler.num_envs)
        env = dataclasses.replace(env, workers=cores)
    evaluated = config.eval
    if evaluated.episodes is None:
        evaluated = dataclasses.replace(
            evaluated, episodes=EPISODES_OF_IMAGES if images else EPISODES
        )
    return dataclasses.replace(config, policy=policy, value=value, env=env, eval=evaluated)


def _decided(group: str, config: Config, images: bool) -> Any:
    """A section's settings, those given for an open choice carried over to what it becomes."""
    section = getattr(config, group)
    if not is_auto(section):
        return section
    traits = section.traits
    name = traits.choose(config.algo.traits, images)
    kind = load(group, name)
    known = {f.name for f in dataclasses.fields(kind)}
    for key, value in section.given.items():
        if key not in known:
            raise UserError(
                f"{group}.{key}={value} is a setting of {group}={traits.shown}; for images "
                f"{group}={name} is chosen, which has none. Leave it out, or choose a {group} by "
                "its name."
            )
    tuned = set_with(conf_dir(), f"algo/{config.algo.name}", f"{group}={name}")
    decided = dataclasses.replace(kind(), **{**tuned, **section.given})
    check_ranges(decided, f"{group}.")
    return decided


def fits_together(config: Config) -> bool:
    """Whether the update rule fits V together with the policy, on one network."""
    return bool(config.value.traits.on_policy and config.algo.traits.fits_value)


def choose_device(device: str, policy: Any, backend: str = "auto") -> tuple[str, str]:
    """The device that networks run on ("cpu" or "cuda"), and why that one.

    `auto` takes the GPU for convolutional networks, and where the environments are there (backend,
    of `env.backend`): otherwise a small MLP is faster on a CPU, where nothing has to travel.
    """
    if device != "auto":
        return device, "as asked"
    there = backend == "warp"
    if not policy.traits.images and not there:
        return "cpu", f"a policy of this size ({policy.name}) is fastest there"
    if has_nvidia_driver():
        import torch

        if torch.cuda.is_available():
            return (
                "cuda",
                "its environments are there" if there else "a GPU is faster with convolutions",
            )
    return "cpu", "there is no usable GPU"
