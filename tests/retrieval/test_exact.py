"""Exact search against a full ranking in float64."""

import dataclasses

import numpy as np
import pytest

from hm3_jax.retrieval import exact
from hm3_jax.retrieval.exact import ExactSearch, unit
from hm3_jax.retrieval.museums import Museums, pack_details, whole_query
from hm3_jax.retrieval.on_device import DeviceSearch, search_of

MUSEUMS, SIZE, THEMES = 3000, 24, 5
SEARCHES = [ExactSearch, DeviceSearch]


@pytest.fixture(scope="module")
def museums() -> Museums:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((MUSEUMS, SIZE)))
    # Equal ones, in several blocks, and ones that differ in the last bit or so.
    vectors[[40, 700, 2999]] = vectors[3]
    vectors[100:250] = vectors[5]
    vectors[1000:1010] = unit(vectors[8] + 1e-7 * rng.standard_normal((10, SIZE)))
    details, offsets = pack_details([{}] * MUSEUMS)
    return Museums(
        ids=[f"m{i}" for i in range(MUSEUMS)],
        themes=tuple("abcde"),
        theme_index=rng.integers(THEMES, size=MUSEUMS, dtype=np.int32),
        vectors=vectors,
        room_offsets=np.arange(MUSEUMS + 1),
        rooms=vectors.astype(np.float16),
        details=details,
        details_offsets=offsets,
    )


@pytest.fixture(scope="module")
def queries(museums) -> np.ndarray:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((70, SIZE)).astype(np.float32)
    rows[:3] = museums.vectors[[3, 5, 8]]
    rows[3] = 0
    rows[4] *= 1e15  # lengths do not matter
    return rows


def asked(rows):
    """Queries of these vectors."""
    return [whole_query(row) for row in rows]


def full_ranking(museums, query, themes=None):
    """Scores and rows of all museums that count, best first, one by one."""
    wide = query.astype(np.float64)
    wide = (wide / np.sqrt(wide @ wide + 1e-18)).astype(np.float32).astype(np.float64)
    scored = [
        (-(museums.vectors[row].astype(np.float64) * wide).sum(), row)
        for row in range(MUSEUMS)
        if themes is None or museums.theme_index[row] in themes
    ]
    scores, rows = zip(*sorted(scored), strict=True) if scored else ((), ())
    return -np.array(scores), np.array(rows, int)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("top_k", [1, 10, 200])
def test_ranks_as_a_full_ranking_does(museums, queries, search, top_k):
    found = search(museums).search(asked(queries), top_k)
    assert len(found) == len(queries)
    for query, hits in zip(queries[:8], found[:8], strict=True):
        scores, rows = full_ranking(museums, query)
        assert hits.rows.tolist() == rows[:top_k].tolist()
        np.testing.assert_allclose(hits.scores, scores[:top_k], rtol=0, atol=1e-15)


@pytest.mark.parametrize("search", SEARCHES)
def test_all_museums_are_ranked_where_more_are_asked_for(museums, queries, search):
    for query, hits in zip(
        queries[:4],
        search(museums).search(asked(queries[:4]), MUSEUMS + 5),
        strict=True,
    ):
        assert hits.rows.tolist() == full_ranking(museums, query)[1].tolist()


@pytest.mark.parametrize("search", SEARCHES)
def test_each_query_has_themes_of_its_own(museums, queries, search):
    themes = [None, {1}, [0, 4], [], None, {2}, {0, 1, 2, 3, 4}]
    found = search(museums).search(asked(queries[:7]), 50, themes)
    for query, of_query, hits in zip(queries, themes, found, strict=False):
        rows = full_ranking(museums, query, of_query)[1]
        assert hits.rows.tolist() == rows[:50].tolist()
        assert len(rows) == len(hits.scores) or len(hits.scores) == 50


@pytest.mark.parametrize("products", [100, 2**12, 2**30])
def test_blocks_and_batches_change_no_bit(museums, queries, monkeypatch, products):
    together = ExactSearch(museums).search(asked(queries), 20)
    monkeypatch.setattr(exact, "_PRODUCTS", products)
    for i in range(5):
        (alone,) = ExactSearch(museums).search(asked(queries[i : i + 1]), 20)
        assert alone.rows.tobytes() == together[i].rows.tobytes()
        assert alone.scores.tobytes() == together[i].scores.tobytes()


def test_a_product_is_within_the_bound(museums, queries):
    unit_queries = unit(queries)
    products = unit_queries @ museums.vectors.T
    wide = unit_queries.astype(np.float64) @ museums.vectors.astype(np.float64).T
    assert np.abs(products - wide).max() < exact.product_error(SIZE)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("queries", "top_k", "complaint"),
    [
        (np.ones((1, SIZE)), 0, "top_k: expected at least 1, found 0"),
        (np.ones((1, SIZE)), -3, "top_k: expected at least 1, found -3"),
        (np.ones((1, SIZE + 1)), 1, "queries of 24 numbers, found 25"),
        (np.full((1, SIZE), np.nan), 1, "expected finite queries"),
        (np.full((1, SIZE), np.inf), 1, "expected finite queries"),
    ],
)
@pytest.mark.usefixtures("shapes_are_not_checked")
def test_wrong_queries_are_refused(museums, search, queries, top_k, complaint):
    with pytest.raises(ValueError, match=complaint):
        search(museums).search(asked(queries), top_k)


def test_no_query_has_no_hits(museums):
    assert ExactSearch(museums).search([], 3) == []


def test_one_museum_can_be_searched(museums):
    one = dataclasses.replace(
        museums, theme_index=museums.theme_index[:1], vectors=museums.vectors[:1]
    )
    for search in SEARCHES:
        (hits,) = search(one).search(asked(museums.vectors[:1]), 10)
        assert hits.rows.tolist() == [0]
        assert hits.scores == pytest.approx([1.0], abs=1e-6)


def test_a_processor_searches_without_a_copy(museums):
    assert isinstance(search_of(museums), ExactSearch)
