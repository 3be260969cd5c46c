"""Two rankings of museums joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from hm3_jax.retrieval.words import Found

Way = Literal["pictures", "words"]
"""What finds museums for a text."""

# Ranks count from here, so that the first of one ranking does not outweigh a museum
# that both have.
_CONSTANT = 60

FURTHER = 20
"""How much further than to `top_k` rankings are to be looked at."""


class Fused(NamedTuple):
    """A museum of two rankings.

    Attributes:
        row: Of the museum.
        found_by: Names of the rankings that found it.
    """

    row: int
    found_by: tuple[Way, ...]


def fuse(pictures: Sequence[int], words: Found, top_k: int) -> list[Fused]:
    """Reciprocal rank fusion: museums by the sum of ``1 / (60 + rank)``.

    Where museums have all the words together, those with some of them are not counted:
    "a golden angel" is not found by what is golden.

    Pictures rank all museums, so they have found one only if it is among their first
    `top_k`, or if words have not.

    Args:
        pictures: Rows of museums, best first.
        words: Likewise, as words have found them.
        top_k: How many to return at most.

    Returns:
        The museums, best first; among equal ones the better by words comes first, so
        that a name finds what bears it.

    References:
        Cormack, Clarke and Buettcher, Reciprocal Rank Fusion outperforms Condorcet and
        individual Rank Learning Methods (2009).
    """
    told = words.rows[: words.together] or words.rows
    seen = {row: rank for rank, row in enumerate(pictures, 1)}
    read = {row: rank for rank, row in enumerate(told, 1)}

    def merit(row: int) -> float:
        ranks = (ranking[row] for ranking in (seen, read) if row in ranking)
        return sum(1 / (_CONSTANT + rank) for rank in ranks)

    def found_by(row: int) -> tuple[Way, ...]:
        if row not in read:
            return ("pictures",)
        near = seen.get(row, top_k + 1) <= top_k
        return ("pictures", "words") if near else ("words",)

    best = sorted(dict.fromkeys([*told, *pictures]), key=lambda row: -merit(row))
    return [Fused(row, found_by(row)) for row in best[:top_k]]
