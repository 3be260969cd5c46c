"""Words of a sentence that one room has to show, against plain loops."""

import dataclasses
import math

import numpy as np
import pytest

from hm3_jax.objective.late_interaction import (
    QueryVectors,
    Terms,
    item_bias,
    scores_of,
)
from hm3_jax.retrieval import on_device
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.item_search import ItemSearch
from hm3_jax.retrieval.terms import CANDIDATES, TermSearch
from tests.retrieval.small_items import (
    SHARPNESS,
    SIZE,
    THEME_WEIGHT,
    some_museums,
    some_queries,
    with_terms,
)


def best_of_rooms(museums, row, vector):
    """Room -> largest cosine, by a loop over the museum's items."""
    first, last = museums.embedded.offsets[row : row + 2]
    best: dict[int, float] = {}
    for item in range(first, last):
        cosine = float(museums.embedded.items[item].astype(np.float64) @ vector)
        room = int(museums.embedded.rooms[item])
        best[room] = max(best.get(room, -2.0), cosine)
    return best


def looped(museums, query):
    """Scores of all museums, every one of which is a candidate and of the sample."""
    count, embedded = len(museums), museums.embedded
    # Items alone, by the mean in their soft maxima.
    alone = dataclasses.replace(embedded, bias=item_bias(embedded.offsets, SHARPNESS))
    plain = dataclasses.replace(query, vector=query.vector * 0)
    by_items = scores_of(plain, alone, SHARPNESS, 0.0)
    total = np.zeros(count)
    for terms, weight in zip(query.terms, query.weights, strict=True):
        if not len(terms.weights):
            continue
        by_term = [
            [best_of_rooms(museums, row, vector) for row in range(count)]
            for vector in terms.vectors.astype(np.float64)
        ]
        usual = [
            [best for of_museum in rooms for best in of_museum.values()]
            for rooms in by_term
        ]
        for row in range(count):
            of_rooms = []
            for room in by_term[0][row]:
                amount = sum(
                    share
                    * math.exp(
                        -0.5 * (rooms[row][room] - np.mean(of_all)) / np.std(of_all)
                    )
                    for share, rooms, of_all in zip(
                        terms.weights, by_term, usual, strict=True
                    )
                )
                of_rooms.append(-math.log(amount) / 0.5)
            total[row] += weight * max(of_rooms)
    scores = scores_of(query, embedded, SHARPNESS, THEME_WEIGHT)
    return scores + 4.0 * by_items.std() * total


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_plain_loops(seed):
    museums = some_museums(40)
    query = with_terms(some_queries(3)[seed], seed)
    (hits,) = exact_search(museums).search([query], 40)
    wanted = looped(museums, query)
    assert hits.rows.tolist() == np.lexsort((np.arange(40), -wanted)).tolist()
    np.testing.assert_allclose(hits.scores, wanted[hits.rows], atol=1e-6)


def test_queries_without_terms_are_answered_as_before():
    museums = some_museums(150)
    plain, other = some_queries(2)
    search = TermSearch(ItemSearch(museums), museums)
    (wanted,) = ItemSearch(museums).search([plain], 7)
    found, again = search.search([plain, with_terms(other, 0)], 7)
    assert found.rows.tolist() == wanted.rows.tolist()
    assert found.scores.tolist() == wanted.scores.tolist()
    # Terms only put in order what was found by scores.
    assert len(again.rows) == 7
    (candidates,) = ItemSearch(museums).search([other], CANDIDATES)
    assert set(again.rows.tolist()) <= set(candidates.rows.tolist())
    (none,) = search.search([with_terms(other, 0)], 7, themes=[[]])
    assert len(none.rows) == 0


def test_an_accelerator_looks_for_terms_too(monkeypatch):
    museums = some_museums(60)
    queries = [with_terms(query, i) for i, query in enumerate(some_queries(3))]

    class Device:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 2**40}

    monkeypatch.setattr(on_device.jax, "devices", lambda: [Device()])
    found = on_device.search_of(museums).search(queries, 5)
    wanted = exact_search(museums).search(queries, 5)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.rows.tolist() == theirs.rows.tolist()
        assert ours.scores.tobytes() == theirs.scores.tobytes()


def test_what_one_room_shows_comes_before_what_is_scattered():
    """Three museums: gold and an angel apart, much gold, and both in one room."""
    gold, angel, other = np.eye(SIZE)[:3]
    rooms = {
        "apart": [[gold, other], [angel, other]],
        "much gold": [[gold, gold], [other, other]],
        "both": [[gold + 0.8 * other, angel + 0.8 * other], [other, other]],
    }
    museums = some_museums(3)
    items = unit(np.array([item for m in rooms.values() for r in m for item in r]))
    embedded = dataclasses.replace(
        museums.embedded,
        items=items.astype(np.float16),
        offsets=np.arange(0, 13, 4),
        rooms=np.tile([0, 0, 1, 1], 3),
        kinds=np.zeros(12, np.uint8),
        places=np.tile([0, 1], 6),
        bias=np.zeros(3, np.float32),
        vectors=np.zeros((3, museums.embedded.vectors.shape[1]), np.float32),
    )
    codes = np.rint(items * 127).astype(np.int8)
    museums = dataclasses.replace(
        museums,
        embedded=embedded,
        codes=codes,
        scales=np.full(12, 1 / 127, np.float32),
        errors=np.full(3, 0.1, np.float32),
    )
    (template,) = some_queries(1)
    sentence = unit((gold + 0.4 * angel)[None])
    query = QueryVectors(
        sentence,
        np.ones(1, np.float32),
        template.vector * 0,
        template.themes,
        (Terms(unit(np.stack([gold, angel])), np.array([0.5, 0.5], np.float32)),),
    )
    (plain,) = exact_search(museums).search(
        [dataclasses.replace(query, terms=())], 3, theme_weights=[0.0]
    )
    assert plain.rows[0] == 1
    (found,) = exact_search(museums).search([query], 3, theme_weights=[0.0])
    assert found.rows.tolist()[0] == 2
