"""Random positives of an anchor's theme for the theme-aware loss."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


class Draws(NamedTuple):
    """Museums drawn for each anchor of a batch.

    Attributes:
        museums: indices into the batch.
        drawn: False where the anchor has no further one.
    """

    museums: Int[Array, "batch samples"]
    drawn: Bool[Array, "batch samples"]


def draw_positives(
    key: Array,
    themes: Int[Array, " batch"],
    valid: Bool[Array, " batch"],
    samples: int,
    *,
    with_replacement: bool = False,
) -> Draws:
    """Draws, for each museum of a batch, other valid museums of its theme.

    Every candidate is equally likely. An anchor with fewer candidates than
    ``samples`` gets each of them once, or, with replacement, still ``samples`` draws
    as long as it has one candidate.

    Args:
        key: PRNG key. A row's draws depend on the key, the row's index and its
            candidates, not on how much padding follows.
        themes: theme of each museum.
        valid: museums that may be anchors or positives.
        samples: draws for each anchor, at least 1.
        with_replacement: draw each time from all candidates.

    Returns:
        The draws, at most ``batch`` a row without replacement.

    References:
        The published release's ``new_positive_samples``.
    """
    size = themes.shape[0]
    candidates = (
        (themes[:, None] == themes[None, :])
        & valid[:, None]
        & valid[None, :]
        & ~jnp.eye(size, dtype=bool)
    )
    repeats = samples if with_replacement else 1
    taken = 1 if with_replacement else min(samples, size)

    def draw(row: Int[Array, ""], allowed: Bool[Array, " batch"]) -> Draws:
        # The largest of uniform scores are a uniform draw without replacement. With
        # candidates first, a longer batch only adds scores at the end.
        scores = jax.random.uniform(jax.random.fold_in(key, row), (size, repeats)).T
        best, museums = jax.lax.top_k(jnp.where(allowed, scores, -1.0), taken)
        return Draws(museums.reshape(-1), best.reshape(-1) >= 0)

    return jax.vmap(draw)(jnp.arange(size), candidates)
