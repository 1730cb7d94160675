"""N environments of Gymnasium's MuJoCo family on MuJoCo Warp: for the device and for numpy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from trpo_cli.simulators.base import Snapshot, Step, as_ids
from trpo_cli.simulators.mujoco.tasks import Entry
from trpo_cli.simulators.warp.physics import check_model, with_other_solver
from trpo_cli.simulators.warp.stepping import DeviceStep, Stepper

WORDS = 1 << 64

OTHER_PHYSICS = (
    "The physics is MuJoCo Warp's, in single precision, and not MuJoCo's own: compare returns with "
    "those of other runs on it, or evaluate the policy with env.backend=auto."
)
OTHER_SOLVER = (
    "The model asks for the solver PGS, which MuJoCo Warp lacks: Newton stands in for it."
)
ANY_ORDER = (
    "On a GPU MuJoCo Warp adds numbers in any order: a run that is repeated or resumed differs in "
    "its last digits, and then altogether."
)
SLOW = (
    "On a CPU MuJoCo Warp makes some thousand steps a second, which is for tests: env.backend=auto "
    "is faster there."
)


class WarpSimulator:
    """N environments on a device: `advance` for tensors there, the `Simulator` protocol for numpy.

    template, entry, v5: as for `MujocoSimulator`. graphs: see `Physics`.

    A simulation that becomes unstable ends its episode: terminated, reward 0, and its last good
    observation as the final one; `failed_simulations` counts them.

    Raises `UserError` for a model with features that MuJoCo Warp does not have.
    """

    backend = "warp"
    frame_stack = 1
    action_start = 0
    why_not_restorable = why_not_branchable = ""

    def __init__(
        self,
        template: Any,
        entry: Entry,
        v5: bool,
        num_envs: int,
        max_episode_steps: int | None,
        device: torch.device,
        graphs: bool = True,
    ) -> None:
        self.device, self.num_envs = device, num_envs
        self.observation_space: spaces.Box = template.observation_space
        self.action_space: spaces.Space[Any] = template.action_space
        self.max_episode_steps = max_episode_steps
        remarks = {
            OTHER_PHYSICS: True,
            OTHER_SOLVER: with_other_solver(template.model),
            ANY_ORDER: device.type == "cuda",
            SLOW: device.type == "cpu",
        }
        self.remarks: Sequence[str] = [remark for remark, holds in remarks.items() if holds]
        self._warned = False
        check_model(template.model)
        self._build = lambda: Stepper(
            template, entry, v5, num_envs, max_episode_steps, device, graphs
        )

    @cached_property
    def _stepper(self) -> Stepper:
        """Built when it is first needed: a run looks at one environment before it begins, and
        kernels are compiled and recorded here."""
        stepper = self._build()
        fresh = np.random.default_rng().integers(0, WORDS, self.num_envs, dtype=np.uint64)
        stepper.episodes.seeds.copy_(self._rows(fresh.view(np.int64)))
        return stepper

    @cached_property
    def _kept(self) -> dict[str, Tensor]:
        """What decides the future, a row for each environment."""
        state = self._stepper.physics.state
        kept = {name: tensor for name, tensor in state._asdict().items() if name != "qacc"}
        return kept | self._stepper.episodes._asdict()

    @property
    def observations(self) -> Tensor:
        """(N, d) float32: what each environment shows now; the next step changes it."""
        return self._stepper.episodes.observations

    @property
    def elapsed(self) -> Tensor:
        """(N,) int64, steps of the episode so far; what is written to it counts."""
        return self._stepper.episodes.elapsed

    @property
    def failed_simulations(self) -> int:
        """Episodes so far that were ended because they became unstable; waits for the device."""
        return int(self._stepper.failures)

    def advance(self, actions: Tensor) -> DeviceStep:
        """One control step of all environments; actions (N, nu) float32, as they take them.

        Nothing waits for the device, and the tensors returned are the same ones each time.
        """
        return self._stepper.advance(actions)

    def warn(self) -> None:
        """Say once what the worlds had no room for; until then it waits for the device."""
        if not self._warned and (complaint := self.lost()):
            print(f"warning: {complaint}", file=sys.stderr)
            self._warned = True

    def lost(self) -> str:
        """What the worlds had no room for since the last call, as a sentence; empty if nothing.

        Contacts or constraints that find no room are left out of the physics. Waits for the
        device.
        """
        what = self._stepper.physics.lost()
        self._stepper.physics.overflow.zero_()
        if not what:
            return ""
        return (
            f"MuJoCo Warp found no room for all {' and '.join(what)} in some environment and left "
            "some out: bodies may have gone through each other."
        )

    def reset(
        self, ids: Sequence[int] | None = None, seed: Sequence[int] | None = None
    ) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs)
        if seed is not None:
            self.reseed(chosen.tolist(), seed)
        mask = torch.zeros(self.num_envs, dtype=torch.bool)
        mask[self._rows(chosen, "cpu")] = True
        self._stepper.begin(mask.to(self.device))
        return self._shown()

    def step(self, actions: np.ndarray, ids: np.ndarray | None = None) -> Step:
        actions = np.asarray(actions, dtype=np.float32)
        expected = (self.num_envs, *(self.action_space.shape or ()))
        if actions.shape != expected:
            raise ValueError(f"actions {actions.shape}, expected {expected}")
        still = np.zeros(0, dtype=np.int64)
        if ids is not None:
            still = np.setdiff1d(np.arange(self.num_envs), ids)
        rows = self._rows(still)
        before = {name: tensor[rows] for name, tensor in self._kept.items()}
        result = self.advance(torch.from_numpy(actions).to(self.device))
        for name, tensor in self._kept.items():
            tensor[rows] = before[name]
        self._stepper.failures.sub_(result.failed[rows].sum())
        for flags in (result.terminated, result.truncated, result.failed):
            flags[rows] = False
        terminated, truncated = (x.cpu().numpy() for x in (result.terminated, result.truncated))
        ended = np.flatnonzero(terminated | truncated)
        final = result.final_observations[self._rows(ended)].cpu().numpy()
        rewards = result.rewards.cpu().numpy().astype(np.float64)
        if len(ended):
            self.warn()
        final = final.astype(self.observation_space.dtype)
        return Step(self._shown(), rewards, terminated, truncated, ended, final)

    def _rows(self, ids: np.ndarray, device: str | torch.device | None = None) -> Tensor:
        return torch.from_numpy(ids.astype(np.int64)).to(device or self.device)

    def _shown(self) -> np.ndarray:
        return self.observations.cpu().numpy().astype(self.observation_space.dtype)

    def snapshot(self, ids: Sequence[int] | None = None, portable: bool = True) -> Snapshot:
        chosen = as_ids(ids, self.num_envs)
        rows = self._rows(chosen)
        arrays = {name: tensor[rows].cpu().numpy() for name, tensor in self._kept.items()}
        return Snapshot(arrays, [None] * len(chosen))

    def restore(self, snapshot: Snapshot, ids: Sequence[int] | None = None) -> np.ndarray:
        chosen = as_ids(ids, self.num_envs, snapshot)
        rows = self._rows(chosen)
        for name, tensor in self._kept.items():
            tensor[rows] = torch.as_tensor(snapshot.arrays[name]).to(self.device)
        return self._shown()

    def reseed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        rows = self._rows(np.asarray(ids))
        words = np.array([int(seed) % WORDS for seed in seeds], dtype=np.uint64)
        self._stepper.episodes.seeds[rows] = self._rows(words.view(np.int64))
        self._stepper.episodes.counters[rows] = 0

    def close(self) -> None:
        """Nothing is held beyond memory."""
