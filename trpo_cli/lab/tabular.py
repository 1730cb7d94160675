"""Exact quantities of tabular Markov decision processes, by linear solves.

S states, A actions. Policies are arrays pi (S, A) whose rows sum to one. From Kakade and Langford
2002; Schulman et al. 2015 (TRPO, arXiv 1502.05477), sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trpo_cli.lab.divergences import kl, total_variation


@dataclass(frozen=True)
class MDP:
    """transitions (S, A, S): P(s'|s, a). rewards (S, A). start (S,): rho_0. discount: gamma < 1."""

    transitions: np.ndarray
    rewards: np.ndarray
    start: np.ndarray
    discount: float


def random_mdp(states: int, actions: int, discount: float, seed: int, branching: int = 3) -> MDP:
    """A Garnet problem (Archibald et al. 1995): each action leads to `branching` random states with
    uniform stick-breaking probabilities; rewards are standard normal; the start is uniform."""
    generator = np.random.default_rng(seed)
    reach = min(branching, states)
    transitions = np.zeros((states, actions, states))
    for s in range(states):
        for a in range(actions):
            cuts = np.sort(generator.random(reach - 1))
            chosen = generator.choice(states, reach, replace=False)
            transitions[s, a, chosen] = np.diff(cuts, prepend=0.0, append=1.0)
    rewards = generator.standard_normal((states, actions))
    return MDP(transitions, rewards, np.full(states, 1.0 / states), discount)


def uniform_policy(mdp: MDP) -> np.ndarray:
    """Every action alike, (S, A)."""
    states, actions = mdp.rewards.shape
    return np.full((states, actions), 1.0 / actions)


def random_policy(mdp: MDP, generator: np.random.Generator) -> np.ndarray:
    """Rows uniform over the simplex, (S, A)."""
    states, actions = mdp.rewards.shape
    return generator.dirichlet(np.ones(actions), states)


def chain(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """P_pi (S, S): the states' transitions under a policy."""
    return np.einsum("sa,sat->st", policy, mdp.transitions)


def state_values(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """V (S,), from (I - gamma P_pi) V = r_pi."""
    rewards = (policy * mdp.rewards).sum(axis=1)
    matrix = np.eye(len(rewards)) - mdp.discount * chain(mdp, policy)
    return np.linalg.solve(matrix, rewards)


def action_values(mdp: MDP, values: np.ndarray) -> np.ndarray:
    """Q (S, A) = r + gamma P V."""
    return mdp.rewards + mdp.discount * mdp.transitions @ values


def advantages(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """A_pi (S, A) = Q - V."""
    values = state_values(mdp, policy)
    return action_values(mdp, values) - values[:, None]


def visitation(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """rho_pi (S,) = sum_t gamma^t P(s_t = s), which sums to 1 / (1 - gamma)."""
    matrix = np.eye(len(mdp.start)) - mdp.discount * chain(mdp, policy)
    return np.linalg.solve(matrix.T, mdp.start)


def performance(mdp: MDP, policy: np.ndarray) -> float:
    """eta(pi) = E[sum_t gamma^t r_t]."""
    return float(mdp.start @ state_values(mdp, policy))


def performance_difference(mdp: MDP, old: np.ndarray, new: np.ndarray) -> float:
    """eta(new) - eta(old) as sum_s rho_new(s) sum_a new(a|s) A_old(s, a) (Kakade and Langford 2002,
    lemma 6.1; TRPO, equation 2)."""
    return float(visitation(mdp, new) @ (new * advantages(mdp, old)).sum(axis=1))


def surrogate(mdp: MDP, old: np.ndarray, new: np.ndarray) -> float:
    """L_old(new) = eta(old) + sum_s rho_old(s) sum_a new(a|s) A_old(s, a) (TRPO, equation 3)."""
    gain = visitation(mdp, old) @ (new * advantages(mdp, old)).sum(axis=1)
    return performance(mdp, old) + float(gain)


def penalty(mdp: MDP, policy: np.ndarray) -> float:
    """C = 4 epsilon gamma / (1 - gamma)^2 with epsilon = max |A_pi(s, a)| (TRPO, theorem 1)."""
    epsilon = float(np.abs(advantages(mdp, policy)).max())
    return 4.0 * epsilon * mdp.discount / (1.0 - mdp.discount) ** 2


def mixture_penalty(mdp: MDP, old: np.ndarray, towards: np.ndarray) -> float:
    """2 epsilon gamma / (1 - gamma)^2 with epsilon = max_s |E_a~towards A_old(s, a)|: the weight of
    alpha^2 in the bound of a mixture (TRPO, equation 6)."""
    epsilon = float(np.abs((towards * advantages(mdp, old)).sum(axis=1)).max())
    return 2.0 * epsilon * mdp.discount / (1.0 - mdp.discount) ** 2


def variation_bound(mdp: MDP, old: np.ndarray, new: np.ndarray) -> float:
    """L_old(new) - C alpha^2, alpha = max_s D_TV: a lower bound on eta(new) (TRPO, theorem 1)."""
    alpha = float(total_variation(old, new).max())
    return surrogate(mdp, old, new) - penalty(mdp, old) * alpha**2


def divergence_bound(mdp: MDP, old: np.ndarray, new: np.ndarray) -> float:
    """L_old(new) - C max_s D_KL(old || new), the weaker bound that Algorithm 1 maximises (TRPO,
    equation 9)."""
    return surrogate(mdp, old, new) - penalty(mdp, old) * float(kl(old, new).max())


def state_distributions(mdp: MDP, policy: np.ndarray, steps: int) -> np.ndarray:
    """P(s_t = s) for t = 0 ... steps - 1, (steps, S)."""
    rows, matrix = [mdp.start], chain(mdp, policy)
    for _ in range(steps - 1):
        rows.append(rows[-1] @ matrix)
    return np.array(rows)


def drift_bound(alpha: float, steps: int) -> np.ndarray:
    """2 (1 - (1 - alpha)^t) (steps,): the largest sum_s |p_new(s_t) - p_old(s_t)| of two policies
    that choose differently with probability at most alpha in every state (TRPO, appendix A)."""
    return 2.0 * (1.0 - (1.0 - alpha) ** np.arange(steps))


def optimal_performance(mdp: MDP) -> float:
    """eta of the best policy, by policy iteration (Howard 1960)."""
    values = state_values(mdp, uniform_policy(mdp))
    while True:
        policy = greedy(action_values(mdp, values))
        new = state_values(mdp, policy)
        if not (new > values + 1e-12 * np.abs(values).max()).any():
            return float(mdp.start @ new)
        values = new


def greedy(values: np.ndarray) -> np.ndarray:
    """The policy (S, A) that takes the best action in every state."""
    return np.eye(values.shape[1])[values.argmax(axis=1)]
