"""What is wrong with the updates of a group, in plain words: rules over `Summary`.

Every threshold stands in `Thresholds`; a rule that finds nothing says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trpo_cli.compare.trust_region import Summary


@dataclass(frozen=True)
class Thresholds:
    """When a rule speaks. Shares are of all updates unless the rule says otherwise."""

    rejected: float = 0.10
    other_rejections: float = 0.01
    backtracks: float = 2.0
    kl_unused: float = 0.4
    over_bound: float = 0.10
    kl_model: float = 2.0
    improvement_model: float = 0.5
    cg_exhausted: float = 0.5
    cg_residual: float = 0.5
    clip_high: float = 0.3
    clip_low: float = 0.01
    explained_variance: float = 0.2
    skipped: float = 0.01


THRESHOLDS = Thresholds()
KNOWN_REASONS = ("KL bound", "no improvement")


def kl_rejections(s: Summary, at: Thresholds) -> str:
    share = s.rejections.get("KL bound", 0.0)
    if share < at.rejected:
        return ""
    return (
        f"{share:.0%} of line searches failed on the KL bound: the quadratic model is poor at this "
        "batch size; more data or a smaller max_kl"
    )


def improvement_rejections(s: Summary, at: Thresholds) -> str:
    share = s.rejections.get("no improvement", 0.0)
    if share < at.rejected:
        return ""
    return (
        f"{share:.0%} of line searches found no improvement: the gradient is mostly noise here; "
        "more data, a better value function, or training has converged"
    )


def other_rejections(s: Summary, at: Thresholds) -> str:
    found = {why: share for why, share in s.rejections.items() if why not in KNOWN_REASONS}
    if sum(found.values()) < at.other_rejections:
        return ""
    named = ", ".join(f"{why} ({share:.1%})" for why, share in found.items())
    return (
        f"{sum(found.values()):.1%} of updates were given up: {named}; a nearly deterministic "
        "policy or rewards of extreme size do that: more damping, a look at the rewards"
    )


def long_backtracking(s: Summary, at: Thresholds) -> str:
    if not s.backtracks > at.backtracks:
        return ""
    return (
        f"accepted steps were shortened {s.backtracks:.1f} times on average: the full step is too "
        "long for the model; more data for the Fisher products (fisher_fraction), more damping"
    )


def unused_bound(s: Summary, at: Thresholds) -> str:
    if not (s.kl_used < at.kl_unused and s.rejected < at.rejected):
        return ""
    why = "the damping shortens the steps, so less damping or a larger max_kl"
    if s.backtracks > 1.0:
        why = "the line search shortens the steps, so more data per update"
    return f"the median update uses {s.kl_used:.0%} of the allowed KL: {why}"


def beyond_bound(s: Summary, at: Thresholds) -> str:
    if not s.over_bound > at.over_bound:
        return ""
    return (
        f"{s.over_bound:.0%} of updates exceed the allowed KL by more than half, as nothing checks "
        "the step: a smaller max_kl, more damping, or trpo, whose line search holds the bound"
    )


def poor_quadratic_model(s: Summary, at: Thresholds) -> str:
    if not s.kl_model > at.kl_model:
        return ""
    return (
        f"the achieved KL is {s.kl_model:.1f} times the predicted one in the median: the Fisher "
        "matrix is estimated from too few states; a larger fisher_fraction or more data"
    )


def poor_linear_model(s: Summary, at: Thresholds) -> str:
    if not s.improvement_model < at.improvement_model:
        return ""
    return (
        f"updates achieve {s.improvement_model:.0%} of the expected improvement in the median: "
        "the surrogate bends within the trust region; a smaller max_kl"
    )


def unsolved_system(s: Summary, at: Thresholds) -> str:
    if not (s.cg_exhausted > at.cg_exhausted and s.cg_residual > at.cg_residual):
        return ""
    return (
        f"conjugate gradients leave {s.cg_residual:.0%} of the gradient unsolved after all their "
        "iterations: the direction is only partly the natural one; more cg_iterations or damping"
    )


def much_clipping(s: Summary, at: Thresholds) -> str:
    if not s.clip_fraction > at.clip_high:
        return ""
    return (
        f"{s.clip_fraction:.0%} of samples end outside the clip range: the epochs go further than "
        "the clip holds; a smaller learning_rate, fewer epochs or a target_kl"
    )


def no_clipping(s: Summary, at: Thresholds) -> str:
    if not s.clip_fraction < at.clip_low:
        return ""
    return (
        f"only {s.clip_fraction:.1%} of samples are ever clipped: there is room for a larger "
        "learning_rate or more epochs"
    )


def blind_value(s: Summary, at: Thresholds) -> str:
    if not s.explained_variance < at.explained_variance:
        return ""
    return (
        f"the value function explains {s.explained_variance:.0%} of the variance of the returns in "
        "the second half: advantages are noisy; more value epochs, a larger value network"
    )


def skipped_updates(s: Summary, at: Thresholds) -> str:
    if not s.skipped > at.skipped:
        return ""
    return (
        f"{s.skipped:.1%} of updates did not move the policy: their gradient was zero or not "
        "finite; a look at the rewards"
    )


RULES: tuple[Callable[[Summary, Thresholds], str], ...] = (
    kl_rejections,
    improvement_rejections,
    other_rejections,
    long_backtracking,
    unused_bound,
    beyond_bound,
    poor_quadratic_model,
    poor_linear_model,
    unsolved_system,
    much_clipping,
    no_clipping,
    blind_value,
    skipped_updates,
)


def diagnose(summary: Summary, thresholds: Thresholds = THRESHOLDS) -> list[str]:
    """One clause per rule that finds something; empty when the updates do what they should."""
    return [words for rule in RULES if (words := rule(summary, thresholds))]
