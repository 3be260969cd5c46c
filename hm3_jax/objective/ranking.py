"""Exact rankings of every query, a block of queries at a time, on the device.

Two things shape this file. Similarities are made of products of fixed 128 x 128
tiles, always descriptions times museums: a number is then the same in whichever
block and direction it is needed, so ties break alike everywhere. And a ranking is one
sort of 64-bit keys (order of the similarity, index, same theme or not): on the CPU
several times faster than a sort of (similarity, index) pairs, and no gather follows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.objective.metric_table import Found, found_in
from hm3_jax.objective.similarity import COSINE, Parameters, Scores

# Museums in a tile; the number of museums is padded to a multiple of it.
TILE = 128


class QueryScores(NamedTuple):
    """What the metrics need of every query's ranking; rows of padding hold zeros.

    Attributes:
        rank: of the query's own item, from 1; int32.
        theme: of the items of the query's theme, its own item included, without
            `first`; int32, float32.
    """

    rank: Int[Array, " n"]
    theme: Found


def query_scores(
    descriptions: Any,
    museums: Any,
    themes: Int[Array, " n"],
    count: Int[Array, ""] | int,
    params: Parameters | None = None,
    *,
    block_size: int,
    scores: Scores = COSINE,
) -> tuple[QueryScores, QueryScores]:
    """Ranks all museums for each description, and all descriptions for each museum.

    Among equal similarities the smaller index ranks first. Pure; works under
    `jax.jit` and `jax.vmap` whether or not 64-bit types are enabled outside.

    Args:
        descriptions: embeddings that ``scores`` reads, float32 (n, d) for cosines;
            ``n`` a multiple of `TILE`.
        museums: the same; row ``i`` belongs to description ``i``.
        themes: int32 theme of each museum.
        count: how many leading rows hold a museum. The rest is padding and may hold
            anything.
        params: of the scores; those they begin with by default.
        block_size: queries ranked at a time in each direction, a multiple of `TILE`.
            Memory is about ``90 * block_size * n`` bytes. Changes no bit of the result.
        scores: what pairs are ranked by.

    Returns:
        Scores of descriptions as queries (t2s), and of museums as queries (s2t).
    """

    def score(similarity: Array, rows: Array) -> QueryScores:
        return _score(similarity, rows, themes, count)

    own = scores.parameters() if params is None else params
    size = themes.shape[0]
    tiles = size // TILE

    def in_tiles(embedded: Any) -> Any:
        return jax.tree.map(
            lambda x: x.reshape(tiles, TILE, *x.shape[1:]),
            scores.prepare(embedded, own),
        )

    described, shown = in_tiles(descriptions), in_tiles(museums)

    def multiply(pair: tuple[Array, Array]) -> Float[Array, "tile tile"]:
        first, second = (
            jax.tree.map(lambda x, i=i: x[i], tree)
            for tree, i in zip((described, shown), pair, strict=True)
        )
        return scores.block(first, second, own)

    def rank_block(block: Int[Array, " block"]) -> tuple[QueryScores, QueryScores]:
        rows = (block[:, None] * TILE + jnp.arange(TILE, dtype=jnp.int32)).reshape(-1)
        # Pairs (tile of queries, tile of items), items fastest.
        queries = jnp.repeat(block, tiles)
        items = jnp.tile(jnp.arange(tiles, dtype=jnp.int32), block.size)
        grid = (block.size, tiles, TILE, TILE)
        t2s = lax.map(multiply, (queries, items)).reshape(grid)
        s2t = lax.map(multiply, (items, queries)).reshape(grid)
        # Both directions in one body: XLA runs their sorts side by side on the CPU.
        return (
            score(t2s.transpose(0, 2, 1, 3).reshape(-1, size), rows),
            score(s2t.transpose(0, 3, 1, 2).reshape(-1, size), rows),
        )

    each = min(block_size // TILE, tiles)
    blocks = -(-tiles // each)
    # The last block repeats the last tile; what it yields for it is cut off.
    ids = jnp.minimum(jnp.arange(blocks * each, dtype=jnp.int32), tiles - 1)
    ranked = lax.map(rank_block, ids.reshape(blocks, each))
    return jax.tree.map(
        lambda x: x.reshape(blocks * each * TILE, *x.shape[2:])[:size], ranked
    )


def matrix_scores(
    similarity: Float[Array, "n n"], themes: Int[Array, " n"], *, block_size: int
) -> tuple[QueryScores, QueryScores]:
    """`query_scores` of similarities that are there already.

    Args:
        similarity: of descriptions (rows) and museums; entry ``[i, i]`` is of a pair.
        themes: int32 theme of each museum.
        block_size: queries ranked at a time in each direction.
    """
    count = themes.shape[0]
    blocks = -(-count // block_size)
    # The last block repeats the last query; what it yields for it is cut off.
    rows = jnp.minimum(jnp.arange(blocks * block_size, dtype=jnp.int32), count - 1)

    def rank_block(rows: Int[Array, " block"]) -> tuple[QueryScores, QueryScores]:
        return (
            _score(similarity[rows], rows, themes, count),
            _score(similarity[:, rows].T, rows, themes, count),
        )

    ranked = lax.map(rank_block, rows.reshape(blocks, block_size))
    return jax.tree.map(
        lambda x: x.reshape(blocks * block_size, *x.shape[2:])[:count], ranked
    )


def _own_rank(
    similarity: Float[Array, "block n"],
    rows: Int[Array, " block"],
    count: Int[Array, ""] | int,
) -> Int[Array, " block"]:
    columns = jnp.arange(similarity.shape[1], dtype=jnp.int32)
    own = jnp.take_along_axis(similarity, rows[:, None], axis=1)
    ahead = (similarity > own) | ((similarity == own) & (columns < rows[:, None]))
    rank = 1 + jnp.sum(ahead & (columns < count), axis=1, dtype=jnp.int32)
    return jnp.where(rows < count, rank, 0)


def _score(
    similarity: Float[Array, "block n"],
    rows: Int[Array, " block"],
    themes: Int[Array, " n"],
    count: Int[Array, ""] | int,
) -> QueryScores:
    valid = jnp.arange(similarity.shape[1], dtype=jnp.int32) < count
    relevant = (themes == themes[rows][:, None]) & valid & (rows < count)[:, None]
    # Scoped: the caller's arrays and program stay in 32 bits.
    with jax.enable_x64(True):
        theme = found_in(_in_ranked_order(similarity, relevant, valid))
        return QueryScores(
            rank=_own_rank(similarity, rows, count),
            theme=theme._replace(
                # No metric by theme asks for it, and counting takes time.
                first=None,
                ndcg=theme.ndcg.astype(jnp.float32),
                average_precision=theme.average_precision.astype(jnp.float32),
            ),
        )


def _in_ranked_order(
    similarity: Float[Array, "block n"],
    relevant: Bool[Array, "block n"],
    valid: Bool[Array, " n"],
) -> Bool[Array, "block n"]:
    """Relevance of the items in each query's ranking; invalid ones come last.

    A key is, from its highest bit: 32 bits that order like ``-similarity``, 31 bits of
    index, 1 bit of relevance. Needs 64-bit types enabled.
    """
    # -0.0 and 0.0 are equal similarities but different bits.
    descending = jnp.where(similarity == 0, jnp.float32(0), -similarity)
    bits = lax.bitcast_convert_type(descending, jnp.int32)
    # Negative floats order backwards as integers: flip all but their sign.
    ordered = bits ^ ((bits >> 31) & jnp.int32(0x7FFFFFFF))
    index = lax.broadcasted_iota(jnp.int64, similarity.shape, 1)
    key = (ordered.astype(jnp.int64) << 32) | (index << 1) | relevant.astype(jnp.int64)
    last = jnp.int64(jnp.iinfo(jnp.int64).max - 1)
    key = jnp.where(valid, key, last)
    # Keys differ, so stability orders nothing; XLA's stable sort is the faster one.
    return (lax.sort(key, dimension=1, is_stable=True) & 1) == 1
