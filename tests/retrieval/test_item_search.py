"""Search over items against the plain scores of late interaction."""

import dataclasses

import numpy as np
import pytest

from hm3_jax.objective.late_interaction import scores_of, soft_maximum
from hm3_jax.retrieval import item_search
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import ItemSearch
from hm3_jax.retrieval.on_device import DeviceItemSearch
from tests.retrieval.small_items import (
    SHARPNESS,
    SIZE,
    THEME_WEIGHT,
    some_museums,
    some_queries,
)

MUSEUMS = 700
SEARCHES = [ItemSearch, DeviceItemSearch]


@pytest.fixture(scope="module")
def museums() -> ItemMuseums:
    return some_museums(MUSEUMS)


def ranking(museums, query, theme_weight=THEME_WEIGHT, themes=None):
    """Scores and rows of all museums that count, best first, by the oracle."""
    scores = scores_of(query, museums.embedded, SHARPNESS, theme_weight)
    rows = np.arange(len(museums))
    if themes is not None:
        rows = rows[np.isin(museums.theme_index, list(themes))]
    rows = rows[np.lexsort((rows, -scores[rows]))]
    return scores[rows], rows


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("top_k", [1, 10, MUSEUMS + 5])
def test_ranks_as_the_oracle_does(museums, search, top_k):
    queries = some_queries(9)
    found = search(museums).search(queries, top_k)
    assert len(found) == len(queries)
    for query, hits in zip(queries, found, strict=True):
        scores, rows = ranking(museums, query)
        assert hits.rows.tolist() == rows[:top_k].tolist()
        np.testing.assert_allclose(hits.scores, scores[:top_k], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("whole", "log_themes"), [(0, 0), (3, 0), (0, 4)])
def test_models_may_have_neither_whole_vectors_nor_themes(whole, log_themes):
    sizes = {"whole": whole, "log_themes": log_themes}
    museums = some_museums(90, **sizes)
    for query in some_queries(3, **sizes):
        (hits,) = ItemSearch(museums).search([query], 10)
        assert hits.rows.tolist() == ranking(museums, query)[1][:10].tolist()


def test_equal_museums_come_in_the_order_of_their_rows(museums):
    # The last museum is the second again.
    query = museums.query_like(1)
    (hits,) = ItemSearch(museums).search([query], MUSEUMS)
    first = hits.rows.tolist().index(1)
    assert hits.rows[first + 1] == MUSEUMS - 1
    assert hits.scores[first] == hits.scores[first + 1]


@pytest.mark.parametrize("search", SEARCHES)
def test_each_query_has_its_themes_and_its_weight_of_them(museums, search):
    queries = some_queries(6)
    themes = [None, {1}, [0, 2], [], None, {0, 1, 2}]
    weights = [None, 0.0, 5.0, 1.0, 40.0, -2.0]
    found = search(museums).search(queries, 40, themes, weights)
    for query, of_query, weight, hits in zip(
        queries, themes, weights, found, strict=True
    ):
        weight = THEME_WEIGHT if weight is None else weight
        scores, rows = ranking(museums, query, weight, of_query)
        assert hits.rows.tolist() == rows[:40].tolist()
        np.testing.assert_allclose(hits.scores, scores[:40], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    "changed",
    [
        {"_ITEMS": 1, "_EXTRAS": 50},
        {"_ITEMS": 100, "MULTIPLIED": 1000, "SENTENCES": 3},
        {"_SCORES": 1, "_SETTLED": 1},
        {"_ITEMS": 10**6},
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_batches_and_threads_change_no_bit(
    museums, monkeypatch, changed, threads
):
    queries = some_queries(5)
    together = ItemSearch(museums).search(queries, 20)
    for name, value in changed.items():
        monkeypatch.setattr(item_search, name, value)
    monkeypatch.setattr(item_search, "_threads", lambda: threads)
    for query, wanted in zip(queries, together, strict=True):
        (hits,) = ItemSearch(museums).search([query], 20)
        assert hits.rows.tobytes() == wanted.rows.tobytes()
        assert hits.scores.tobytes() == wanted.scores.tobytes()


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("sharpness", [1.0, 40.0, 80.0])
def test_a_first_look_is_within_its_bound(sharpness, kind):
    museums = dataclasses.replace(some_museums(200), sharpness=sharpness)
    queries = some_queries(4)
    search = kind(museums)
    scores = np.empty((4, 200), np.float32)
    search._add_extras(queries, [THEME_WEIGHT] * 4, scores)
    search._look(item_search.FirstLook(museums, queries), scores)
    for query, of_query in zip(queries, scores, strict=True):
        exact = scores_of(query, museums.embedded, sharpness, THEME_WEIGHT)
        bounds = search._bounds(query, of_query)
        assert (np.abs(of_query - exact) <= bounds).all()
        # A bound of all there is would be one, too.
        assert bounds.max() < (0.03 if kind is ItemSearch else 0.001)


def test_codes_are_as_near_as_they_say(museums):
    offsets = museums.embedded.offsets
    wide = museums.codes * museums.scales.astype(np.float64)[:, None]
    apart = np.linalg.norm(museums.embedded.items.astype(np.float64) - wide, axis=1)
    for row in range(len(museums)):
        worst = apart[offsets[row] : offsets[row + 1]].max()
        assert worst <= museums.errors[row] <= 1.01 * worst + 1e-5


def test_a_match_says_what_carried_it(museums):
    query = some_queries(1)[0]
    ((score, row),) = (
        (float(s), int(r))
        for hits in ItemSearch(museums).search([query], 1)
        for s, r in zip(hits.scores, hits.rows, strict=True)
    )
    carried = museums.carried(query, None, row, score)
    vectors = museums.embedded
    own = slice(int(vectors.offsets[row]), int(vectors.offsets[row + 1]))
    items = vectors.items[own].astype(np.float64)
    rooms, kinds, places = (
        getattr(vectors, name)[own] for name in ("rooms", "kinds", "places")
    )
    for number, sentence in enumerate(query.sentences.astype(np.float64)):
        cosines = [float(sentence @ item) for item in items]
        best = int(np.argmax(cosines))
        said = carried.answering[number]
        assert (said.room, said.place) == (rooms[best], places[best])
        assert said.kind == ("views", "images", "videos")[kinds[best]]
        assert said.cosine == pytest.approx(cosines[best], abs=1e-12)
        adds = query.weights[number] * soft_maximum(np.array(cosines), SHARPNESS)
        assert carried.sentences[number] == pytest.approx(adds, abs=1e-12)
    assert len(carried.rooms) == rooms.max() + 1
    for room, lost in enumerate(carried.rooms):
        others = items[rooms != room]
        left = soft_maximum(query.sentences.astype(np.float64) @ others.T, SHARPNESS)
        without = sum(carried.sentences) - query.weights @ left
        assert lost == pytest.approx(without, abs=1e-12)


def test_a_museum_asks_for_its_like_with_its_items(museums):
    large = MUSEUMS // 2
    assert len(museums.query_like(large).sentences) == 64
    query = museums.query_like(2)
    first, last = museums.embedded.offsets[2:4]
    assert query.sentences.tolist() == museums.embedded.items[first:last].tolist()
    np.testing.assert_allclose(query.weights, 1 / (last - first), rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sentences": np.ones((2, SIZE + 1), np.float32)}, "of 24 numbers, found 25"),
        ({"sentences": np.ones((0, SIZE), np.float32)}, "some sentences, found none"),
        ({"vector": np.ones(2, np.float32)}, "a vector of 8 numbers, found 2"),
        ({"themes": np.ones(2, np.float32)}, "themes of 5 numbers, found 2"),
        ({"vector": np.full(8, np.nan, np.float32)}, "expected finite queries"),
    ],
)
@pytest.mark.usefixtures("shapes_are_not_checked")
def test_wrong_queries_are_refused(museums, changes, complaint):
    query = dataclasses.replace(some_queries(1)[0], **changes)
    with pytest.raises(ValueError, match=complaint):
        ItemSearch(museums).search([query], 3)


def test_wrong_numbers_are_refused(museums):
    with pytest.raises(ValueError, match="top_k: expected at least 1, found 0"):
        ItemSearch(museums).search([], 0)
    with pytest.raises(ValueError, match="sharpness above 0, 80 at most, found 90"):
        ItemSearch(dataclasses.replace(museums, sharpness=90.0))
