"""The table of Atari games: ours beside what was published after more frames."""

from __future__ import annotations

from collections.abc import Sequence

from campaign.tables import NOTHING, defaults_only
from trpo_cli.compare.groups import natural
from trpo_cli.compare.published import of_env, reference
from trpo_cli.compare.statistics import mean_interval
from trpo_cli.compare.wording import number, spread
from trpo_cli.env_ids import task_and_version
from trpo_cli.reference.store import Result

BESIDE_GAMES = [
    ("TRPO paper", "TRPO paper Table 1", "trpo", 50_000_000),
    ("TRPO paper, vine", "TRPO paper Table 1", "trpo+vine", 200_000_000),
    ("TRPO, POP3D paper", "POP3D paper", "trpo", 10_000_000),
    ("PPO, CleanRL", "CleanRL", "ppo", 10_000_000),
]
"""Published scores of games that stand beside ours: title, source, rule, steps."""
PLAYERS = ("random", "human")


def games(results: Sequence[Result]) -> str:
    """Atari games: ours, and what was published after how many frames."""
    found: dict[tuple[str, int], dict[str, list[Result]]] = {}
    for r in defaults_only(results):
        found.setdefault((r.rule, r.total_steps), {}).setdefault(r.env, []).append(r)
    if not found:
        return NOTHING
    columns = sorted(found, key=lambda column: (natural(column[0]), column[1]))
    head = [f"{rule}, {frames(steps)}" for rule, steps in columns]
    head += [f"{title}, {frames(steps)}" for title, *_, steps in BESIDE_GAMES]
    lines = ["| game | " + " | ".join([*head, *PLAYERS]) + " |"]
    lines.append("|---" * (1 + len(head) + len(PLAYERS)) + "|")
    for env in sorted({env for by_env in found.values() for env in by_env}, key=natural):
        ours = [found[column].get(env, []) for column in columns]
        said = [
            spread(mean_interval([r.sampled.mean for r in runs])) if runs else "" for runs in ours
        ]
        known = {(x.algo, x.steps, x.source.partition(" (")[0]): x.mean for x in of_env(env)}
        theirs = [known.get((rule, steps, source)) for _, source, rule, steps in BESIDE_GAMES]
        theirs += [reference(env, who) for who in PLAYERS]
        said += ["" if score is None else number(score) for score in theirs]
        lines.append(f"| {task_and_version(env)[0]} | " + " | ".join(said) + " |")
    return "\n".join(lines) + "\n"


def frames(steps: int) -> str:
    """A step of an agent is four frames of a game."""
    return f"{4 * steps / 1e6:g}M frames"
