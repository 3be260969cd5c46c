"""Scores of single queries beside a plain loop, and beside the device's metrics."""

import numpy as np
import pytest

from hm3_jax.objective.metric_table import BY_KEY, DIRECTIONS, KEYS
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.reporting import query_scores as module
from hm3_jax.reporting.query_scores import (
    Ranking,
    in_ranked_order,
    own_ranks,
    ranked,
    score_queries,
)
from tests.reporting.run_folders import embeddings


def cases() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    ones = np.ones((5, 3), np.float32)
    described, shown, _ = embeddings(3, 150)
    tied = np.round(described[:40, :2]).astype(np.float32)
    return {
        "random": embeddings(1, 200),
        "one theme": (described, shown, np.zeros(150, np.int64)),
        "own themes": (described, shown, np.arange(150)),
        "one museum": (ones[:1], ones[:1], np.array([4])),
        "all equal": (ones, ones, np.array([0, 1, 0, 1, 0])),
        "ties and zeros": (tied, tied[::-1].copy(), np.arange(40) % 3),
    }


@pytest.mark.parametrize("name", cases())
def test_scores_are_those_of_a_plain_loop(name):
    described, shown, themes = cases()[name]
    ranking = Ranking.of(described, shown)
    scores = score_queries(ranking, themes, by_theme=DIRECTIONS)
    similarity = ranking.similarity(slice(None)).astype(np.float64)
    for direction, matrix in (("t2s", similarity), ("s2t", similarity.T)):
        for query, row in enumerate(matrix):
            order = sorted(range(len(row)), key=lambda item: (-row[item], item))
            rank = order.index(query) + 1
            hits = [themes[item] == themes[query] for item in order]
            places = [place for place, hit in enumerate(hits, 1) if hit]
            precision = [j / place for j, place in enumerate(places, 1)]
            gain = sum(1 / np.log2(1 + place) for place in places)
            ideal = sum(1 / np.log2(1 + j) for j in range(1, len(places) + 1))
            expected = {
                "mean_rank": rank,
                "mAP": 100 / rank,
                "avg_ndcg": 100 / np.log2(1 + rank),
                "mAP_by_class": 100 * sum(precision) / len(places),
                "avg_ndcg_by_class": 100 * gain / ideal,
            }
            for k in (1, 5, 10):
                expected[f"R@{k}"] = 100 * (rank <= k)
                expected[f"class_P@{k}"] = 100 * sum(hits[:k]) / k
                expected[f"class_R@{k}"] = 100 * sum(hits[:k]) / len(places)
            for key, value in expected.items():
                found = scores[f"{direction}_{key}"][query]
                np.testing.assert_allclose(found, value, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("kept", [0, 2**25])
def test_means_are_the_published_metrics(monkeypatch, kept):
    monkeypatch.setattr(module, "_KEPT", kept)
    described, shown, themes = embeddings(7, 300)
    metrics = retrieval_metrics(described, shown, themes)
    scores = score_queries(Ranking.of(described, shown), themes, by_theme=DIRECTIONS)
    assert scores.keys() == metrics.keys() == set(KEYS)
    for key, values in scores.items():
        found = BY_KEY[key].summary(values)
        np.testing.assert_allclose(found, metrics[key], rtol=1e-5)


def test_scores_by_theme_only_of_directions_asked_for():
    described, shown, themes = embeddings(1)
    scores = score_queries(Ranking.of(described, shown), themes)
    assert "t2s_mAP_by_class" in scores and "s2t_mAP_by_class" not in scores


def test_rankings_of_a_few_queries():
    similarity = np.array([[0.0, 0.5, -0.0, 0.5], [-1, -0.5, -0.25, -2]], np.float32)
    assert ranked(similarity).tolist() == [[1, 3, 0, 2], [2, 1, 0, 3]]
    assert own_ranks(similarity, np.array([2, 3])).tolist() == [4, 4]
    assert own_ranks(similarity, np.array([3, 2])).tolist() == [2, 1]
    relevant = np.array([[True, False, True, False], [False, False, False, True]])
    found = in_ranked_order(similarity, relevant)
    assert [np.flatnonzero(row).tolist() for row in found] == [[2, 3], [3]]
