"""From network outputs to actions, one head per kind of action space.

Every head samples by adding noise that does not depend on the policy and taking a fixed function
of the sum: mean + sigma * normal, argmax(logits + Gumbel), logit + logistic > 0. So the noise of a
whole iteration can be drawn ahead (and shared between branches that want common random numbers),
and no noise at all gives the most likely action.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trpo_cli.maths.arrays import Array, namespace
from trpo_cli.maths.discrete import Bernoulli, Categorical
from trpo_cli.maths.distributions import Distribution, Gaussian
from trpo_cli.maths.state_gaussian import StateGaussian, log_std_of

if TYPE_CHECKING:
    from gymnasium import spaces


TANH = np.frompyfunc(math.tanh, 1, 1)
"""libm's, as compiled loops have it: numpy's may round otherwise."""


class Head(Protocol):
    """num_outputs: columns D that the network must have; num_extra: parameters E beside it."""

    num_outputs: int
    num_extra: int

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """float32 noise, shape + (k,)."""
        ...

    def act(self, outputs: np.ndarray, extra: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        """Actions (n, A) for outputs (n, D)."""
        ...

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions as the environment takes them, (n, *act)."""
        ...

    def distribution(self, outputs: Array, extra: Array) -> Distribution: ...


class GaussianHead:
    """Box actions: the network gives the mean, `extra` is the log standard deviation; or, with
    `first_log_std`, the network gives both, see `maths.state_gaussian`.

    The environment receives, for finite bounds, low + (clip(a, -1, 1) + 1) / 2 * (high - low)
    (`rescale`), clip(a, low, high) (`clip`) or low + (tanh(a) + 1) / 2 * (high - low) (`squash`);
    otherwise the action as it is. Log-probabilities are those of a.

    With `squash` what the environment receives has a density of its own (Haarnoja et al. 2018,
    1801.01290, appendix C),

        log pi(tanh(a)|s) = log N(a) - sum_j log(1 - tanh(a_j)^2),

    beside the constant scale. The correction knows nothing of theta: it is the same in pi and in
    pi_old, so that ratios, gradients and Fisher products are those of the Gaussian, and so is the
    KL, which no bijection changes. The entropy is not: the Gaussian's, which is what entropies mean
    here, is an upper bound of the squashed density's on [-1, 1].
    """

    def __init__(
        self,
        space: spaces.Box,
        actions: str,
        first_log_std: float | None = None,
        min_log_std: float | None = None,
    ) -> None:
        """min_log_std: what `extra` is held above, after every update."""
        self.size, self.first_log_std = int(np.prod(space.shape)), first_log_std
        self.min_log_std = min_log_std
        self.num_outputs, self.num_extra = self.size, self.size
        if first_log_std is not None:
            self.num_outputs, self.num_extra = 2 * self.size, 0
        self._shape, self._actions = space.shape, actions
        self._low = space.low.reshape(-1).astype(np.float64)
        self._high = space.high.reshape(-1).astype(np.float64)
        bounded = np.isfinite(self._low) & np.isfinite(self._high)
        rescale = bounded if actions in ("rescale", "squash") else np.zeros_like(bounded)
        self._rescaled = rescale
        self.squashed = rescale & (actions == "squash")
        """Which of the A actions go through tanh, (A,) bool."""
        # [-1, 1] stands for itself where an action is not rescaled: one expression serves all.
        low, high = np.where(rescale, self._low, -1.0), np.where(rescale, self._high, 1.0)
        self._scale, self._shift = (high - low) / 2.0, (high + low) / 2.0
        self._moved: tuple[Array, ...] | None = None  # what bounds actions, on a device
        self._identity = bool(np.all(self._scale == 1.0) and np.all(self._shift == 0.0))

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.standard_normal((*shape, self.size), dtype=np.float32)

    def act(self, outputs: Array, extra: Array, noise: Array | None) -> Array:
        mean = outputs[:, : self.size]
        if noise is None:
            return mean
        if self.first_log_std is not None:
            extra = log_std_of(outputs[:, self.size :], self.first_log_std)[0]
        return mean + namespace(extra).exp(extra) * noise

    def to_env(self, actions: Array) -> Array:
        if not isinstance(actions, np.ndarray):
            return self._to_env_there(actions)
        if not self.raw:
            if self.squashed.any():
                bent: Any = TANH(actions)
                actions = np.where(self.squashed, bent.astype(np.float64), actions)
            if not self._identity:
                actions = actions * self._scale + self._shift
            actions = np.minimum(np.maximum(actions, self._low), self._high)
        return actions.reshape(len(actions), *self._shape)

    def _to_env_there(self, actions: Array) -> Array:
        """The same of a tensor, in its precision."""
        if not self.raw:
            bounds = (self.squashed, self._scale, self._shift, self._low, self._high)
            if self._moved is None or self._moved[0].device != actions.device:
                torch = namespace(actions)
                self._moved = tuple(
                    torch.as_tensor(
                        x, dtype=torch.bool if x is self.squashed else actions.dtype
                    ).to(actions.device)
                    for x in bounds
                )
            squashed, scale, shift, low, high = self._moved
            actions = namespace(actions).where(squashed, actions.tanh(), actions)
            actions = (actions * scale + shift).clamp(low, high)
        return actions.reshape(len(actions), *self._shape)

    @property
    def raw(self) -> bool:
        """Whether the environment receives actions as they are."""
        return self._actions == "raw"

    def affine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Factor, offset, low and high, (A,) each: what the environment receives is
        clip(factor a + offset, low, high), with tanh(a) for a squashed a, unless it is raw."""
        return self._scale, self._shift, self._low, self._high

    def distribution(self, outputs: Array, extra: Array) -> Gaussian | StateGaussian:
        if self.first_log_std is not None:
            return StateGaussian.of(outputs, self.first_log_std)
        return Gaussian(outputs, extra)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """What is taken of actions in the policy's units, (A,) each; infinite where anything is."""
        low = np.where(self._rescaled, -1.0, self._low)
        return low.astype(np.float32), np.where(self._rescaled, 1.0, self._high).astype(np.float32)


class CategoricalHead:
    """Discrete (one size) and MultiDiscrete (several): actions are indices from 0."""

    num_extra = 0

    def __init__(self, sizes: tuple[int, ...], squeeze: bool) -> None:
        self.sizes, self._squeeze = sizes, squeeze
        self.num_outputs = sum(sizes)
        self._cuts = np.cumsum(sizes)[:-1]

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.gumbel(size=(*shape, self.num_outputs)).astype(np.float32)

    def act(self, outputs: np.ndarray, extra: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        scores = outputs if noise is None else outputs + noise
        parts = np.split(scores, self._cuts, axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1)

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        return actions[:, 0] if self._squeeze else actions

    def distribution(self, outputs: Array, extra: Array) -> Categorical:
        return Categorical(outputs, self.sizes)


class BernoulliHead:
    """MultiBinary: independent coins."""

    num_extra = 0

    def __init__(self, size: int) -> None:
        self.num_outputs = size

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.logistic(size=(*shape, self.num_outputs)).astype(np.float32)

    def act(self, outputs: np.ndarray, extra: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
        return ((outputs if noise is None else outputs + noise) > 0.0).astype(np.int64)

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        return actions.astype(np.int8)

    def distribution(self, outputs: Array, extra: Array) -> Bernoulli:
        return Bernoulli(outputs)


def make_head(
    space: spaces.Space[Any],
    actions: str,
    first_log_std: float | None = None,
    min_log_std: float | None = None,
) -> Head:
    """The head for an action space; the simulator has refused the spaces that have none.

    actions: what becomes of bounded ones, see `GaussianHead`. first_log_std: of Box actions, the
    first log deviation of one that depends on the state; None: it does not. min_log_std: the floor
    of one that does not.
    """
    from gymnasium import spaces  # the settings of every rule come by here: no help pays for it

    if isinstance(space, spaces.Box):
        return GaussianHead(space, actions, first_log_std, min_log_std)
    if isinstance(space, spaces.Discrete):
        return CategoricalHead((int(space.n),), squeeze=True)
    if isinstance(space, spaces.MultiDiscrete):
        return CategoricalHead(tuple(int(n) for n in space.nvec), squeeze=False)
    if isinstance(space, spaces.MultiBinary):
        return BernoulliHead(int(np.prod(space.shape)))
    raise TypeError(f"no policy head for the action space {space}")
