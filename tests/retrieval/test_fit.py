"""What fits a query, against plain loops over made-up museums."""

import dataclasses

import numpy as np
import pytest

from hm3_jax.objective.late_interaction import QueryVectors, scores_of
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.fit import Fit, calibrated, fit_of
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import ItemSearch
from tests.retrieval.small_items import SHARPNESS, SIZE, THEME_WEIGHT, some_museums

WHOLE, LOG_THEMES = 0, 0


def about(museums: ItemMuseums, row: int, length: int, seed: int) -> QueryVectors:
    """Sentences near items of a museum, of different weights."""
    rng = np.random.default_rng(seed)
    items = museums.columns["items"].astype(np.float32)
    first, last = museums.embedded.offsets[row : row + 2]
    sentences = items[rng.integers(first, last, length)]
    weights = rng.random(length) + 0.1
    return QueryVectors(
        unit(sentences + 0.15 * rng.standard_normal((length, SIZE))),
        (weights / weights.sum()).astype(np.float32),
        np.empty(WHOLE, np.float32),
        np.empty(LOG_THEMES, np.float32),
    )


def test_almost_all_that_is_said_of_museums_fits() -> None:
    museums = some_museums(30, whole=WHOLE, log_themes=LOG_THEMES)
    rng = np.random.default_rng(0)
    parts = {
        length: [
            (row, about(museums, row, length, 100 * length + i))
            for i, row in enumerate(rng.integers(30, size=70).tolist())
        ]
        for length in (1, 3)
    }
    fit = calibrated(museums, ItemSearch(museums), {**parts, 5: []})
    assert fit is not None and fit.lengths == (1, 3)
    items = museums.columns["items"].astype(np.float64)
    offsets = museums.embedded.offsets
    own = []
    for length, described in parts.items():
        means = []
        for row, query in described:
            cosines = [
                (query.sentences.astype(np.float64) @ items[a:b].T).max(axis=1)
                for a, b in zip(offsets[:-1], offsets[1:], strict=True)
            ]
            own += cosines[row].tolist()
            scores = scores_of(query, museums.embedded, SHARPNESS, THEME_WEIGHT)
            means.append(cosines[int(np.argmax(scores))] @ query.weights)
        wanted = np.quantile(means, 0.02)
        assert fit.means[fit.lengths.index(length)] == pytest.approx(wanted, abs=1e-3)
    assert fit.sentence == pytest.approx(np.quantile(own, 0.05), abs=1e-3)


def test_nothing_is_known_without_descriptions() -> None:
    museums = some_museums(5, whole=WHOLE, log_themes=LOG_THEMES)
    assert calibrated(museums, ItemSearch(museums), {1: [], 2: []}) is None
    assert fit_of(IndexFacts({}, {}, {})) is None


def test_longer_queries_need_other_means() -> None:
    fit = Fit(0.3, (1, 2, 4), (0.5, 0.4, 0.2))
    facts = IndexFacts({}, {}, {"fit": fit.to_json()})
    assert fit_of(facts) == fit
    assert fit.answers(0.31) and not fit.answers(0.29)
    museums = some_museums(2, whole=WHOLE, log_themes=LOG_THEMES)
    for length, needed in ((1, 0.5), (2, 0.4), (4, 0.2), (3, 0.283), (9, 0.2)):
        query = about(museums, 0, length, 0)
        assert fit.fits(query, [needed + 0.01] * length)
        assert not fit.fits(query, [needed - 0.01] * length)
    # By the sentences' weights.
    query = dataclasses.replace(
        about(museums, 0, 2, 0), weights=np.array([0.9, 0.1], np.float32)
    )
    assert fit.fits(query, [0.45, 0.0]) and not fit.fits(query, [0.0, 0.45])
