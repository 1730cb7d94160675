"""What is wrong with the updates of a group, in plain words: rules over `Summary`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trpo_cli.compare.trust_region import Summary

REJECTED = 0.10
"""Share of failed line searches that is worth a word."""
KNOWN = ("KL bound", "no improvement")


@dataclass(frozen=True)
class Rule:
    """words: a format string over the summary `s`; `given_up` and `why` are the other reasons of
    rejections. holds: whether they are said, which NaN never fulfils. Shares are of all updates
    unless the words say otherwise."""

    holds: Callable[[Summary], bool]
    words: str


RULES = {
    "kl_rejections": Rule(
        lambda s: s.rejections.get("KL bound", 0.0) >= REJECTED,
        "{s.rejections[KL bound]:.0%} of line searches failed on the KL bound: the quadratic model "
        "is poor at this batch size; more data or a smaller max_kl",
    ),
    "improvement_rejections": Rule(
        lambda s: s.rejections.get("no improvement", 0.0) >= REJECTED,
        "{s.rejections[no improvement]:.0%} of line searches found no improvement: the gradient is "
        "mostly noise here; more data, a better value function, or training has converged",
    ),
    "other_rejections": Rule(
        lambda s: sum(other_reasons(s).values()) >= 0.01,
        "{given_up:.1%} of updates were given up: {why}; a nearly deterministic policy or rewards "
        "of extreme size do that: more damping, a look at the rewards",
    ),
    "long_backtracking": Rule(
        lambda s: s.backtracks > 2.0,
        "accepted steps were shortened {s.backtracks:.1f} times on average: the full step is too "
        "long for the model; more data for the Fisher products (fisher_fraction), more damping",
    ),
    "damped_steps": Rule(
        lambda s: s.kl_used < 0.4 and s.rejected < REJECTED and not s.backtracks > 1.0,
        "the median update uses {s.kl_used:.0%} of the allowed KL: the damping shortens the steps, "
        "so less damping or a larger max_kl",
    ),
    "shortened_steps": Rule(
        lambda s: s.kl_used < 0.4 and s.rejected < REJECTED and s.backtracks > 1.0,
        "the median update uses {s.kl_used:.0%} of the allowed KL: the line search shortens the "
        "steps, so more data per update",
    ),
    "beyond_bound": Rule(
        lambda s: s.over_bound > 0.10,
        "{s.over_bound:.0%} of updates exceed the allowed KL by more than half, as nothing checks "
        "the step: a smaller max_kl, more damping, or trpo, whose line search holds the bound",
    ),
    "poor_quadratic_model": Rule(
        lambda s: s.kl_model > 2.0,
        "the achieved KL is {s.kl_model:.1f} times the predicted one in the median: the Fisher "
        "matrix is estimated from too few states; a larger fisher_fraction or more data",
    ),
    "poor_linear_model": Rule(
        lambda s: s.improvement_model < 0.5,
        "updates achieve {s.improvement_model:.0%} of the expected improvement in the median, in "
        "sample: the surrogate bends within the trust region; a smaller max_kl",
    ),
    "fitted_noise": Rule(
        lambda s: s.held_out < 2.0 * s.held_out_error,
        "the steps explain noise: {s.in_sample:+.2g} in sample, {s.held_out:+.2g} held out "
        "({s.held_out_share:.1%}), no more than chance gives; more data, a better value function, "
        "or training has converged, but not more cg_iterations, which fit more noise",
    ),
    "much_clipping": Rule(
        lambda s: s.clip_fraction > 0.3,
        "{s.clip_fraction:.0%} of samples end outside the clip range: the epochs go further than "
        "the clip holds; a smaller learning_rate, fewer epochs or a target_kl",
    ),
    "no_clipping": Rule(
        lambda s: s.clip_fraction < 0.01,
        "only {s.clip_fraction:.1%} of samples are ever clipped: there is room for a larger "
        "learning_rate or more epochs",
    ),
    "blind_value": Rule(
        lambda s: s.explained_variance < 0.2,
        "the value function explains {s.explained_variance:.0%} of the variance of the returns in "
        "the second half: advantages are noisy; more value epochs, a larger value network",
    ),
    "skipped_updates": Rule(
        lambda s: s.skipped > 0.01,
        "{s.skipped:.1%} of updates did not move the policy: their gradient was zero or not "
        "finite; a look at the rewards",
    ),
}


def other_reasons(s: Summary) -> dict[str, float]:
    return {why: share for why, share in s.rejections.items() if why not in KNOWN}


def diagnose(summary: Summary) -> list[str]:
    """One clause per rule that finds something; empty when the updates do what they should."""
    others = other_reasons(summary)
    why = ", ".join(f"{why} ({share:.1%})" for why, share in others.items())
    return [
        rule.words.format(s=summary, given_up=sum(others.values()), why=why)
        for rule in RULES.values()
        if rule.holds(summary)
    ]
