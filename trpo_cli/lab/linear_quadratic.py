"""Exact values, gradients and the optimum of linear-quadratic problems (Fazel et al. 2018).

The policy is linear-Gaussian, u = -K x + e with e ~ N(0, diag(sigma^2)); L = A - B K. Everything is
discounted by gamma over an infinite horizon; equations without gamma, noise and sigma are those of
Fazel, Ge, Kakade and Mesbahi, "Global convergence of policy gradient methods for the linear
quadratic regulator" (arXiv 1801.05039), lemma 1 and section 3.

Gains K have the shape (m, n), standard deviations `std` (m,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trpo_cli.simulators.lqr.systems import LinearSystem


def is_stable(system: LinearSystem, gain: np.ndarray) -> bool:
    """Whether the discounted cost is finite: sqrt(gamma) times the spectral radius of L is below
    one."""
    return bool(np.sqrt(system.discount) * spectral_radius(system.A - system.B @ gain) < 1.0)


def spectral_radius(matrix: np.ndarray) -> float:
    """The largest modulus of the eigenvalues."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def lyapunov(left: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """X = constant + left X left', the sum of left^k constant left'^k over k >= 0.

    `left` must have a spectral radius below one.
    """
    from scipy.linalg import solve_discrete_lyapunov  # later than help and errors

    x = solve_discrete_lyapunov(left, constant)
    return (x + x.T) / 2.0


def value_matrix(system: LinearSystem, gain: np.ndarray) -> np.ndarray:
    """P_K (n, n) of the cost to go x' P_K x + constant:

    P = Q + K'RK + gamma L' P L
    """
    closed = np.sqrt(system.discount) * (system.A - system.B @ gain)
    return lyapunov(closed.T, system.Q + gain.T @ system.R @ gain)


def step_covariance(system: LinearSystem, std: np.ndarray) -> np.ndarray:
    """Covariance of what is added to the state in a step: W + B diag(sigma^2) B'."""
    return system.noise + (system.B * std**2) @ system.B.T


def state_matrix(system: LinearSystem, gain: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Sigma_K (n, n), the discounted sum of the states' second moments, sum_t gamma^t E[x_t x_t']:

    Sigma = S + gamma / (1 - gamma) (W + B diag(sigma^2) B') + gamma L Sigma L'
    """
    closed = np.sqrt(system.discount) * (system.A - system.B @ gain)
    return lyapunov(closed, system.start + _forever(system) * step_covariance(system, std))


def mean_state_matrix(
    system: LinearSystem, gain: np.ndarray, std: np.ndarray, horizon: int
) -> np.ndarray:
    """Mean of E[x_t x_t'] over the steps 0 ... horizon - 1 of an episode, undiscounted: the states
    in a batch of a sampler."""
    closed, added = system.A - system.B @ gain, step_covariance(system, std)
    moment, total = system.start, np.zeros_like(system.start)
    for _ in range(horizon):
        total = total + moment
        moment = closed @ moment @ closed.T + added
    return total / horizon


def cost(system: LinearSystem, gain: np.ndarray, std: np.ndarray | None = None) -> float:
    """C(K, sigma), the expected discounted cost:

        C = tr(P_K S) + gamma / (1 - gamma) tr(P_K W)
            + sum_i sigma_i^2 (R + gamma B'P_K B)_ii / (1 - gamma)

    std None is a deterministic policy. Infinite for a gain that is not stable.
    """
    if not np.isfinite(gain).all() or not is_stable(system, gain):
        return float("inf")
    value = value_matrix(system, gain)
    total = float(np.sum(value * (system.start + _forever(system) * system.noise)))
    if std is not None:
        curvature = np.diag(action_curvature(system, value))
        total += float(std**2 @ curvature) / (1.0 - system.discount)
    return total


def episode_cost(system: LinearSystem, gain: np.ndarray, std: np.ndarray, horizon: int) -> float:
    """The expected undiscounted cost of an episode of `horizon` steps: what a run logs as minus
    its return."""
    moments = horizon * mean_state_matrix(system, gain, std, horizon)
    weight = system.Q + gain.T @ system.R @ gain
    return float(np.sum(weight * moments) + horizon * (std**2 @ np.diag(system.R)))


def action_curvature(system: LinearSystem, value: np.ndarray) -> np.ndarray:
    """M = R + gamma B'PB (m, m): half the Hessian of Q(x, u) in u."""
    return system.R + system.discount * system.B.T @ value @ system.B


@dataclass(frozen=True)
class Gradient:
    """What all first-order rules are made of, at one policy.

    residual: E_K (m, n). curvature: M (m, m). gain: the derivative of C in K, 2 E_K Sigma_K.
    log_std: in log sigma, (m,), 2 sigma_i^2 M_ii / (1 - gamma).
    """

    residual: np.ndarray
    curvature: np.ndarray
    gain: np.ndarray
    log_std: np.ndarray


def gradient(system: LinearSystem, gain: np.ndarray, std: np.ndarray | None = None) -> Gradient:
    """The exact gradient of C, with E_K = (R + gamma B'PB) K - gamma B'PA.

    std None is a deterministic policy, whose `log_std` is zero.
    """
    noise = np.zeros(system.actions) if std is None else std
    value = value_matrix(system, gain)
    curvature = action_curvature(system, value)
    residual = curvature @ gain - system.discount * system.B.T @ value @ system.A
    states = state_matrix(system, gain, noise)
    log_std = np.zeros(system.actions)
    if std is not None:
        log_std = 2.0 * std**2 * np.diag(curvature) / (1.0 - system.discount)
    return Gradient(residual, curvature, 2.0 * residual @ states, log_std)


def natural_gradient(
    at: Gradient, std: np.ndarray, discount: float
) -> tuple[np.ndarray, np.ndarray]:
    """F^-1 grad C in (K, log sigma), with the Fisher matrix under the discounted visitation,

        F_K = diag(1 / sigma^2) (x) Sigma_K,   F_log sigma = 2 / (1 - gamma) I
        =>  (2 diag(sigma^2) E_K,  sigma_i^2 M_ii)

    Neither depends on which states are visited: Sigma_K cancels.
    """
    log_std = at.log_std * (1.0 - discount) / 2.0
    return 2.0 * std[:, None] ** 2 * at.residual, log_std


def riccati(system: LinearSystem) -> tuple[np.ndarray, np.ndarray]:
    """P (n, n) and K (m, n) of the optimum, from the discrete algebraic Riccati equation

        P = Q + gamma A'PA - gamma A'PB (R + gamma B'PB)^-1 gamma B'PA
        K = (R + gamma B'PB)^-1 gamma B'PA

    Raises `FloatingPointError` where no gain gives a finite cost.
    """
    from scipy.linalg import solve_discrete_are

    root = np.sqrt(system.discount)
    a, b = root * system.A, root * system.B
    try:
        value = solve_discrete_are(a, b, system.Q, system.R)
    except np.linalg.LinAlgError:
        raise FloatingPointError("no gain makes the discounted cost finite") from None
    return value, np.linalg.solve(action_curvature(system, value), b.T @ value @ a)


def spectra(system: LinearSystem) -> dict[str, np.ndarray]:
    """What decides how fast the exact methods converge close to the optimum of a deterministic
    policy.

    There the error of the gain D moves by D <- D - 2 alpha M D Sigma (policy gradient),
    D - 2 alpha M D (natural), (1 - 2 alpha) D (Gauss-Newton), as P_K depends on D only to second
    order. So the factors of one iteration are 1 - 2 alpha h with h in:

    gradient: products of eigenvalues of M and of Sigma, ascending. natural: eigenvalues of M.
    gauss_newton: one.
    """
    value, gain = riccati(system)
    curvature = np.linalg.eigvalsh(action_curvature(system, value))
    states = np.linalg.eigvalsh(state_matrix(system, gain, np.zeros(system.actions)))
    products = np.sort(np.outer(curvature, states).ravel())
    return {"gradient": products, "natural": curvature, "gauss_newton": np.ones(1)}


def best_step(spectrum: np.ndarray) -> float:
    """The constant step alpha with the smallest factor max |1 - 2 alpha h|: 1 / (h_min + h_max)."""
    return float(1.0 / (spectrum[0] + spectrum[-1]))


def factor(spectrum: np.ndarray, step: float) -> float:
    """max |1 - 2 alpha h|: by how much an iteration shrinks the gain's error, near the optimum."""
    return float(np.abs(1.0 - 2.0 * step * spectrum).max())


def _forever(system: LinearSystem) -> float:
    """gamma / (1 - gamma), how often a step's noise comes; without a discount there is none."""
    if system.discount < 1.0:
        return system.discount / (1.0 - system.discount)
    if system.noise.any():
        raise FloatingPointError("the undiscounted cost of a system with noise is infinite")
    return 0.0
