"""A network that remembers, on one flat parameter vector, with its Jacobian in closed form.

    s_t = cell(x_t W + b, s_(t-1), U)       a recurrent cell, see `models.cells`
    o_t = MLP([x_t, h_t])                   of the input and the cell's output

A state s is zero where an episode begins. J v and J'u go through time: forward with the tangents of
states, backward with their cotangents, from the last step to the first and never across the start
of an episode. The products of W and of U with all steps are one product each, before or after the
loop over time. The flat vector holds W (d, G H), b (G H), U (H, G H), then the MLP.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trpo_cli.data.sequences import Sequences
from trpo_cli.models.cells import CELLS, Kept
from trpo_cli.models.mlp import MLP, Layers, orthogonal

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, Layers]
"""W, b, U and the MLP's layers, views of one flat vector."""


class RecurrentNetwork:
    """The shape of such a network. It holds no parameters."""

    def __init__(
        self, inputs: int, cell: str, units: int, head: MLP, length: int | None = None
    ) -> None:
        """cell: "gru" or "lstm". units: H. head: of inputs + units numbers. length: of the
        sequences that it is to learn from; None: the rollout's."""
        self.inputs, self.kind, self.units, self.head = inputs, cell, units, head
        self.length = length
        self.cell = CELLS[cell]
        self.width = self.cell.gates * units
        self.state_size = self.cell.parts * units
        """S, the numbers that it remembers from step to step."""
        self._ends = np.cumsum([inputs * self.width, self.width, units * self.width]).tolist()
        self.num_parameters = self._ends[2] + head.num_parameters

    def views(self, flat: np.ndarray) -> Parts:
        """Its parts; writing to them writes to `flat`."""
        a, b, c = self._ends
        return (
            flat[:a].reshape(self.inputs, self.width),
            flat[a:b],
            flat[b:c].reshape(self.units, self.width),
            self.head.views(flat[c : self.num_parameters]),
        )

    def initialize(
        self, flat: np.ndarray, generator: np.random.Generator, output_gain: float
    ) -> None:
        """Orthogonal weights, gate by gate, gain 1; biases 0, but 1 for the gate that keeps. The
        MLP: see there."""
        weight, bias, recurrent, _ = self.views(flat)
        units = self.units
        for gate in range(self.cell.gates):
            columns = slice(gate * units, (gate + 1) * units)
            weight[:, columns] = orthogonal(generator, self.inputs, units)
            recurrent[:, columns] = orthogonal(generator, units, units)
            bias[columns] = float(gate == self.cell.keeps)
        self.head.initialize(flat[self._ends[2] : self.num_parameters], generator, output_gain)

    def to_device(self, x: Any) -> Any:
        """x as this network's kind of array; `Sequences` stay."""
        return x if isinstance(x, Sequences) else np.asarray(x)

    def step(
        self, parts: Parts, inputs: np.ndarray, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Outputs (n, D) and next states (n, S), from inputs (n, d) and states (n, S)."""
        weight, bias, recurrent, layers = parts
        after = self.cell.step(inputs @ weight + bias, states, recurrent)[0]
        seen = np.concatenate([inputs, after[:, : self.units]], axis=1)
        return self.head.predict(layers, seen), after

    def linearize(self, parts: Parts, inputs: Sequences) -> RecurrentLinearization:
        """Outputs (R, D) of R samples, and products with the Jacobian there; `parts` by `views`."""
        return RecurrentLinearization(self, parts, inputs)

    def outputs(self, parts: Parts, inputs: Sequences) -> np.ndarray:
        """Outputs (R, D) alone."""
        return self.head.predict(parts[3], remembered(self, parts, inputs)[0])

    def predict(self, parts: Parts, inputs: Sequences) -> np.ndarray:
        """The same. Raises TypeError for inputs without what came before them."""
        if not isinstance(inputs, Sequences):
            raise TypeError("a policy that remembers acts by way of trpo_cli.models.acting.Acting")
        return self.outputs(parts, inputs)


def remembered(
    network: RecurrentNetwork, parts: Parts, inputs: Sequences
) -> tuple[np.ndarray, np.ndarray, list[Kept]]:
    """What the MLP sees of R samples, (R, d + H); the cell's outputs before each step, (T, N, H);
    and what its steps leave, T of them."""
    weight, bias, recurrent, _ = parts
    steps, envs = inputs.begins.shape
    units, flat = network.units, inputs.inputs.reshape(steps * envs, network.inputs)
    gates = (flat @ weight + bias).reshape(steps, envs, network.width)
    before = np.empty((steps, envs, units), dtype=gates.dtype)
    after = np.empty_like(before)
    state, kept = inputs.states.astype(gates.dtype), []
    for t in range(steps):
        state = np.where(inputs.begins[t, :, None], gates.dtype.type(0.0), state)
        before[t] = state[:, :units]
        state, left = network.cell.step(gates[t], state, recurrent)
        after[t] = state[:, :units]
        kept.append(left)
    seen = np.concatenate([flat, after.reshape(steps * envs, units)], axis=1)
    return seen[inputs.rows], before, kept


class RecurrentLinearization:
    """The network at R samples: outputs (R, D), and products with the Jacobian.

    It reads the parameters when it is made and when a product is asked for: use it before they
    move.
    """

    def __init__(self, network: RecurrentNetwork, parts: Parts, inputs: Sequences) -> None:
        self._network, self._parts, self._inputs = network, parts, inputs
        seen, self._before, self._kept = remembered(network, parts, inputs)
        self._going = 1.0 - inputs.begins[:, :, None].astype(seen.dtype)
        self._head = network.head.linearize(parts[3], seen)
        self.outputs = self._head.outputs

    def vjp(self, u: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """J' u summed over the samples: u (R, D) -> (P,), written into `out` when given."""
        network, cell = self._network, self._network.cell
        flat = out if out is not None else np.empty(network.num_parameters, u.dtype)
        weight, bias, recurrent, _ = network.views(flat)
        of_inputs = np.empty((len(u), network.inputs + network.units), u.dtype)
        self._head.vjp(u, flat[-network.head.num_parameters :], of_inputs)
        steps, envs, units = self._before.shape
        of_output = np.zeros((steps * envs, units), u.dtype)
        of_output[self._inputs.rows] = of_inputs[:, network.inputs :]
        of_output = of_output.reshape(steps, envs, units)
        of_a = np.empty((steps, envs, network.width), u.dtype)
        of_p = np.empty_like(of_a)
        g = np.zeros((envs, network.state_size), u.dtype)
        for t in range(steps - 1, -1, -1):
            g[:, :units] += of_output[t]
            of_a[t], of_p[t], g = cell.pull(self._kept[t], g, self._parts[2])
            g *= self._going[t]
        of_a, of_p = of_a.reshape(-1, network.width), of_p.reshape(-1, network.width)
        np.matmul(self._inputs.inputs.reshape(-1, network.inputs).T, of_a, out=weight)
        np.sum(of_a, axis=0, out=bias)
        np.matmul(self._before.reshape(-1, units).T, of_p, out=recurrent)
        return flat

    def jvp(self, v: np.ndarray) -> np.ndarray:
        """J v: v (P,) -> (R, D)."""
        network, cell = self._network, self._network.cell
        d_weight, d_bias, d_recurrent, _ = network.views(v)
        steps, envs, units = self._before.shape
        inputs, size = self._inputs, steps * envs
        da = inputs.inputs.reshape(size, network.inputs) @ d_weight + d_bias
        dp = (self._before.reshape(size, units) @ d_recurrent).reshape(steps, envs, network.width)
        da = da.reshape(dp.shape)
        ds = np.zeros((envs, network.state_size), dp.dtype)
        after = np.empty_like(self._before)
        for t in range(steps):
            ds = ds * self._going[t]
            dp[t] += ds[:, :units] @ self._parts[2]
            ds = cell.push(self._kept[t], da[t], dp[t], ds)
            after[t] = ds[:, :units]
        along = np.zeros((len(inputs), network.inputs + units), dp.dtype)
        along[:, network.inputs :] = after.reshape(size, units)[inputs.rows]
        return self._head.jvp(v[-network.head.num_parameters :], along)
