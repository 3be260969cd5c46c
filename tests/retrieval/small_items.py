"""Made-up museums of many vectors, and queries of them."""

import dataclasses

import numpy as np

from hm3_jax.objective.late_interaction import MuseumVectors, QueryVectors, Terms
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.item_museums import ItemMuseums, item_museums
from hm3_jax.retrieval.museums import pack_details

SHARPNESS, THEME_WEIGHT = 12.0, 0.3
SIZE, WHOLE, LOG_THEMES = 24, 8, 5


def log_shares(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Logarithms of positive numbers that sum to 1 along the last axis."""
    shares = rng.random(shape) + 0.01
    return np.log(shares / shares.sum(axis=-1, keepdims=True)).astype(np.float32)


def some_museums(
    museums: int, seed: int = 0, *, whole: int = WHOLE, log_themes: int = LOG_THEMES
) -> ItemMuseums:
    """Museums of 1 to 40 items, numbered from `1000 * seed`; some equal ones."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 41, museums)
    # One that is larger than a block; equal ones far apart.
    lengths[museums // 2] = 1100
    lengths[[1, museums - 1]] = 7
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    count = int(offsets[-1])
    items = unit(rng.standard_normal((count, SIZE)) + 0.3).astype(np.float16)
    bias = rng.normal(0, 0.05, museums).astype(np.float32)
    vectors = rng.normal(0, 0.1, (museums, whole)).astype(np.float32)
    themes = log_shares(rng, museums, log_themes)
    items[offsets[museums - 1] :] = items[offsets[1] : offsets[2]]
    for column in (bias, vectors, themes):
        column[museums - 1] = column[1]
    places = np.arange(count) - np.repeat(offsets[:-1], lengths)
    details, details_offsets = pack_details(
        [{"title": f"Museum {i}", "rooms": []} for i in range(museums)]
    )
    return item_museums(
        [f"museum {1000 * seed + i}" for i in range(museums)],
        ("a", "b", "c"),
        (np.arange(museums) % 3).astype(np.int32),
        MuseumVectors(
            items=items,
            offsets=offsets,
            # Six of a room: views, images, videos in turn, two of each.
            rooms=(places // 6).astype(np.int32),
            kinds=(places % 3).astype(np.uint8),
            places=(places % 6 // 3).astype(np.int32),
            bias=bias,
            vectors=vectors,
            themes=themes,
        ),
        details,
        details_offsets,
        sharpness=SHARPNESS,
        theme_weight=THEME_WEIGHT,
    )


def some_queries(
    count: int, seed: int = 1, *, whole: int = WHOLE, log_themes: int = LOG_THEMES
) -> list[QueryVectors]:
    """Queries of 1 to 20 sentences."""
    rng = np.random.default_rng(seed)
    queries = []
    for _ in range(count):
        sentences = int(rng.integers(1, 21))
        weights = rng.random(sentences) + 0.1
        queries.append(
            QueryVectors(
                sentences=unit(rng.standard_normal((sentences, SIZE)) + 0.1),
                weights=(weights / weights.sum()).astype(np.float32),
                vector=rng.normal(0, 0.3, whole).astype(np.float32),
                themes=log_shares(rng, log_themes),
            )
        )
    return queries


def with_terms(query: QueryVectors, seed: int) -> QueryVectors:
    """The first sentence has none, as one of a single word has."""
    rng = np.random.default_rng(seed)
    counts = [0, *rng.integers(2, 5, len(query.sentences) - 1)]
    return dataclasses.replace(
        query, terms=tuple(_terms(rng, int(count)) for count in counts)
    )


def _terms(rng: np.random.Generator, count: int) -> Terms:
    weights = rng.random(count).astype(np.float32)
    vectors = unit(rng.normal(size=(count, SIZE)))
    return Terms(vectors, weights / weights.sum())
