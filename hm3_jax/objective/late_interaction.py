"""Late interaction: every sentence looks for the item of a museum that answers it.

A description is the unit vectors of its sentences, a museum those of its items (views,
paintings, clips). They are compared sentence by item, and only then joined:

    score = sum_t w_t soft_maximum_i(q_t . y_i) + extra

Formulas take NumPy's arrays and JAX's alike. Importing this starts no JAX.

References:
    Khattab and Zaharia, ColBERT: Efficient and Effective Passage Search via
    Contextualized Late Interaction over BERT (2020), whose maximum this makes soft.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8


@dataclasses.dataclass(frozen=True, eq=False)
class Terms:
    """The words of a sentence, each embedded by itself.

    Attributes:
        vectors: of length 1.
        weights: how much each says of what the sentence says; they sum to 1.
    """

    vectors: Float[np.ndarray, "terms d"]
    weights: Float[np.ndarray, " terms"]


@dataclasses.dataclass(frozen=True, eq=False)
class QueryVectors:
    """What somebody typed, embedded.

    Attributes:
        sentences: of length 1.
        weights: of the sentences; they sum to 1.
        vector: of the query as a whole; of size 0 for models without.
        themes: log probability of each theme that the model knows; maybe of none.
        terms: of each sentence, to be looked for in one room
            (`hm3_jax.retrieval.terms`); empty where sentences are looked for as such.
    """

    sentences: Float[np.ndarray, "sentences d"]
    weights: Float[np.ndarray, " sentences"]
    vector: Float[np.ndarray, " g"]
    themes: Float[np.ndarray, " themes"]
    terms: Sequence[Terms] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class MuseumVectors:
    """Museums, embedded; in memory or mapped from files.

    Attributes:
        items: of length 1, float32 or float16; the items of a museum are neighbours.
        offsets: museum i has items ``offsets[i]:offsets[i + 1]``, one at least.
        rooms: number of each item's room within its museum.
        kinds: kind of each item, its place in `files.input_kinds.ROOM_KINDS`.
        places: number of each item among those of its kind in its room.
        bias: what is added to every score of a museum: ``-log(items) / a``, see
            `item_bias`.
        vectors: of each museum as a whole; of size 0 for models without.
        themes: log probability of each theme that the model knows; maybe of none.
    """

    items: Float[np.ndarray, "items d"]
    offsets: Int[np.ndarray, " museums_plus_1"]
    rooms: Int[np.ndarray, " items"]
    kinds: UInt8[np.ndarray, " items"]
    places: Int[np.ndarray, " items"]
    bias: Float[np.ndarray, " museums"]
    vectors: Float[np.ndarray, "museums g"]
    themes: Float[np.ndarray, "museums themes"]

    def __len__(self) -> int:
        """Number of museums."""
        return len(self.bias)


def soft_maximum(
    cosines: Float[Any, "*rows items"], sharpness: float
) -> Float[Any, "*rows"]:
    """``log(sum(exp(a c))) / a`` along the last axis.

    Between the largest and the largest plus ``log(items) / a``; it changes by no more
    than the cosine that changes most.

    >>> import numpy as np
    >>> round(float(soft_maximum(np.array([0.5, 0.5]), 10.0)), 4)  # 0.5 + log(2) / 10
    0.5693
    """
    xp = cosines.__array_namespace__()
    largest = xp.max(cosines, axis=-1, keepdims=True)
    total = xp.sum(xp.exp(sharpness * (cosines - largest)), axis=-1)
    return largest[..., 0] + xp.log(total) / sharpness


def item_bias(
    offsets: Int[np.ndarray, " museums_plus_1"], sharpness: float
) -> Float[np.ndarray, " museums"]:
    """What makes soft maxima means, so that large museums are not found for everything.

    Args:
        offsets: of the museums' items.
        sharpness: of the soft maximum.

    Returns:
        ``-log(items) / a`` of each museum, float32.
    """
    items = np.maximum(np.diff(offsets), 1)
    return (-np.log(items) / sharpness).astype(np.float32)


def extra(
    query: QueryVectors, museums: MuseumVectors, theme_weight: float
) -> Float[np.ndarray, " museums"]:
    """What a museum's score has besides its items: bias, whole vectors, themes.

    Args:
        query: embedded.
        museums: all or some.
        theme_weight: how much it counts that the themes agree.

    Returns:
        float64; cheap for all museums of a collection.
    """
    total = np.asarray(museums.bias, np.float64)
    if len(query.vector):
        total = total + np.asarray(museums.vectors, np.float64) @ query.vector
    if len(query.themes) and theme_weight:
        agree = np.exp(np.asarray(museums.themes, np.float64) + query.themes)
        total = total + theme_weight * np.log(agree.sum(axis=1))
    return total


def scores_of(
    query: QueryVectors,
    museums: MuseumVectors,
    sharpness: float,
    theme_weight: float = 0.0,
) -> Float[np.ndarray, " museums"]:
    """Scores of all museums for one query, museum after museum, in float64.

    What every faster search must equal.

    Args:
        query: embedded.
        museums: embedded.
        sharpness: of the soft maximum.
        theme_weight: see `extra`.
    """
    sentences = query.sentences.astype(np.float64)
    best = [
        soft_maximum(
            sentences @ museums.items[first:end].astype(np.float64).T, sharpness
        )
        for first, end in _bounds(museums.offsets)
    ]
    return np.array(best) @ query.weights + extra(query, museums, theme_weight)


def _bounds(offsets: Int[np.ndarray, " n_plus_1"]) -> Sequence[tuple[int, int]]:
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))
