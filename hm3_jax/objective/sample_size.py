"""What a recall is worth where few museums are tested.

References:
    Wilson, Probable inference, the law of succession, and statistical inference (JASA
    1927); Brown, Cai and DasGupta, Interval estimation for a binomial proportion
    (2001).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

# Museums from which on the interval of a recall is narrower than 20 points.
ENOUGH = 100
# Of the normal distribution, for 95 %.
_Z = 1.959964
_RECALL = re.compile(r"t2s_R@(\d+)")


def recall_interval(percent: float, queries: int) -> tuple[float, float]:
    """The 95 % interval of a share of queries, by Wilson's score.

    Args:
        percent: Of queries, 0 to 100; a mean over tries may lie between whole numbers.
        queries: How many there were; at least one.

    Returns:
        Its ends, in percent.

    >>> tuple(round(end) for end in recall_interval(50, 2))
    (9, 91)
    """
    share, spread = percent / 100, _Z**2 / queries
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / queries + spread / (4 * queries))
    ends = ((middle - half) / (1 + spread), (middle + half) / (1 + spread))
    return (max(100 * ends[0], 0.0), min(100 * ends[1], 100.0))


def small_split_notes(
    split: str, museums: int, metrics: Mapping[str, float]
) -> list[str]:
    """What to know of recalls that few museums were tested for; nothing for many.

    Args:
        split: What the museums are called.
        museums: How many there are, each with one description.
        metrics: By name, in percent; those of text to museum are looked at.
    """
    if museums >= ENOUGH:
        return []
    recalls = {
        int(found[1]): value
        for name, value in metrics.items()
        if (found := _RECALL.fullmatch(name))
    }
    notes = certain_recalls(split, museums, recalls)
    least = min((k for k in recalls if k < museums), default=None)
    if least is not None:
        low, high = recall_interval(recalls[least], museums)
        notes.append(
            f"{split} has {_museums(museums)}: the 95 % interval of its R@{least} of "
            f"{recalls[least]:.1f} is {low:.0f} to {high:.0f}"
        )
    return notes


def certain_recalls(split: str, museums: int, firsts: Iterable[int]) -> list[str]:
    """A note where a split has so few museums that recalls say nothing.

    Args:
        split: What the museums are called.
        museums: How many there are; none, where there is no such split.
        firsts: Numbers of museums whose recalls are looked at, such as 10.
    """
    certain = [f"R@{first}" for first in sorted(firsts) if 0 < museums <= first]
    if not certain:
        return []
    verb = "is" if len(certain) == 1 else "are"
    return [
        f"{split} has {_museums(museums)}, so {' and '.join(certain)} {verb} 100 "
        "whatever a model finds"
    ]


def _museums(number: int) -> str:
    return "1 museum" if number == 1 else f"{number} museums"
