"""What the program asks of the five sections of components, whichever component was chosen.

Somebody else's component is one when it has these. A section's own settings are known to the
component alone, so that to everybody else they may be anything.
"""

from __future__ import annotations

from typing import Any, Protocol

from trpo_cli.components import (
    EstimatorTraits,
    PolicyTraits,
    RuleTraits,
    SamplerTraits,
    ValueTraits,
)


class RuleSettings(Protocol):
    """An update rule (`algo`)."""

    name: str
    traits: RuleTraits

    def build(self, policy: Any, value_coef: float = 0.0) -> Any:
        """The rule (`algos.base.Algorithm`) for a policy.

        value_coef: weight of (V - R)^2 in its loss, for a network that gives V(s) as well.
        """
        ...

    def __getattr__(self, key: str) -> Any: ...


class SamplerSettings(Protocol):
    """A sampler."""

    name: str
    traits: SamplerTraits
    num_envs: int
    steps_per_env: int

    def build(self, config: Any, world: Any) -> tuple[Any, Any]:
        """The sampler (`samplers.base.Sampler`) of a whole configuration in a world
        (`samplers.base.World`), and the `Split` of its batches."""
        ...

    def __getattr__(self, key: str) -> Any: ...


class PolicySettings(Protocol):
    """A policy."""

    name: str
    traits: PolicyTraits

    def build(
        self,
        observation_space: Any,
        action_space: Any,
        generator: Any,
        device: str = "cpu",
        with_value: bool = False,
    ) -> Any:
        """The `models.policy.Policy` with its first parameters, drawn from the generator.

        with_value: its network gives V(s) as well, in one more column behind the distribution's.
        """
        ...

    def __getattr__(self, key: str) -> Any: ...


class ValueSettings(Protocol):
    """A value function."""

    name: str
    traits: ValueTraits

    def build(
        self,
        policy: Any,
        policy_settings: Any,
        space: Any,
        generator: Any,
        together: bool = False,
    ) -> Any:
        """The value function (`models.value.StateValue`) with its first parameters.

        policy_settings: those of the policy. space: of the observations. together: the update rule
        fits it together with the policy.
        """
        ...

    def __getattr__(self, key: str) -> Any: ...


class EstimatorSettings(Protocol):
    """An advantage estimator.

    standardize: subtract the batch's mean and divide by its deviation. discount_states: weight a
    sample by gamma^t. value_lambda: of the returns that V is fitted to; None: Psi + V.
    """

    name: str
    traits: EstimatorTraits
    standardize: bool
    discount_states: bool
    value_lambda: float | None

    def build(self) -> Any:
        """The `estimators.base.Estimator`."""
        ...

    def __getattr__(self, key: str) -> Any: ...
