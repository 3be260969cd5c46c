"""Metrics against the published numbers and against a full-matrix oracle with ties."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hm3_jax.objective import metrics, ranking
from hm3_jax.objective.metrics import (
    retrieval_metrics,
    score_queries,
    summarise,
)
from hm3_jax.objective.ranking import TILE


@pytest.fixture(scope="module")
def published(golden: Path):
    arrays = np.load(golden / "metrics.npz")
    inputs = tuple(arrays[name] for name in ("descriptions", "scenes", "themes"))
    return inputs, json.loads((golden / "metrics.json").read_text())


def test_published_metrics_in_the_published_order(published) -> None:
    inputs, expected = published
    actual = retrieval_metrics(*inputs)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        # The release computes in float32 throughout.
        assert actual[name] == pytest.approx(value, abs=2e-5), name


# The oracle: the definitions, on whole matrices, one query at a time.


def oracle(similarity: np.ndarray, themes: np.ndarray) -> dict[str, float]:
    found = {}
    for direction, s in (("t2s", similarity), ("s2t", similarity.T)):
        columns: dict[str, list[float]] = {}

        def add(name: str, value: float, columns=columns) -> None:
            columns.setdefault(name, []).append(float(value))

        for query, row in enumerate(s):
            order = sorted(
                range(len(row)), key=lambda item, row=row: (-row[item], item)
            )
            rank = order.index(query) + 1
            relevant = [themes[item] == themes[query] for item in order]
            total = sum(relevant)
            for k in (1, 5, 10):
                add(f"R@{k}", 100 * (rank <= k))
                add(f"class_R@{k}", 100 * sum(relevant[:k]) / total)
                add(f"class_P@{k}", 100 * sum(relevant[:k]) / k)
            add("rank", rank)
            add("avg_ndcg", 100 / np.log2(1 + rank))
            add("mAP", 100 / rank)
            gains = [1 / np.log2(2 + place) for place in range(len(order))]
            gain = sum(g for g, hit in zip(gains, relevant, strict=True) if hit)
            add("avg_ndcg_by_class", 100 * gain / sum(gains[:total]))
            precisions = [
                sum(relevant[: place + 1]) / (place + 1)
                for place, hit in enumerate(relevant)
                if hit
            ]
            add("mAP_by_class", 100 * sum(precisions) / total)
        ranks = columns.pop("rank")
        found[f"{direction}_median_rank"] = float(np.median(ranks))
        found[f"{direction}_mean_rank"] = float(np.mean(ranks))
        for name, values in columns.items():
            found[f"{direction}_{name}"] = float(np.mean(values))
    return found


def assert_agree(actual: dict[str, float], expected: dict[str, float]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, abs=1e-5), name


def exact_embeddings(rng: np.random.Generator, n: int, kinds: int, d: int = 16):
    """Vectors of entries +-1, or all 0: cosines are multiples of 1/16, not rounded.

    Only `kinds` different ones, so that ties are everywhere.
    """
    vectors = rng.choice([-1.0, 1.0], size=(kinds, d)).astype(np.float32)
    vectors[rng.random(kinds) < 0.1] = 0
    picks = rng.integers(0, kinds, size=(2, n))
    descriptions, museums = vectors[picks]
    return descriptions, museums, (descriptions @ museums.T) / d


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    kinds=st.sampled_from([1, 2, 5, 40]),
    themes=st.sampled_from([1, 2, 7, 1000]),
)
def test_metrics_and_ranks_are_the_oracle_s_with_many_ties(
    seed, n, kinds, themes
) -> None:
    rng = np.random.default_rng(seed)
    descriptions, museums, similarity = exact_embeddings(rng, n, kinds)
    labels = rng.integers(-themes, themes, n)
    found = retrieval_metrics(descriptions, museums, labels)
    assert_agree(found, oracle(similarity, labels))
    # Lengths are free (powers of two: still exact).
    scales = 2.0 ** rng.integers(-8, 20, size=(2, n, 1))
    scaled = retrieval_metrics(descriptions * scales[0], museums * scales[1], labels)
    assert scaled == found


@pytest.mark.parametrize("n", [127, 128, 129, 300])
def test_several_tiles_agree_with_the_oracle(n: int) -> None:
    rng = np.random.default_rng(n)
    descriptions, museums, similarity = exact_embeddings(rng, n, kinds=60)
    themes = rng.integers(0, 5, n)
    assert_agree(
        retrieval_metrics(descriptions, museums, themes), oracle(similarity, themes)
    )
    t2s, s2t = score_queries(descriptions, museums, themes)
    for ranks, s in ((t2s.rank, similarity), (s2t.rank, similarity.T)):
        order = np.argsort(-s, axis=1, kind="stable")
        expected = np.argmax(order == np.arange(n)[:, None], axis=1) + 1
        np.testing.assert_array_equal(ranks, expected)


def noisy_museums(n: int, d: int = 64, seed: int = 0):
    rng = np.random.default_rng(seed)
    descriptions = rng.standard_normal((n, d), dtype=np.float32)
    museums = descriptions + 2 * rng.standard_normal((n, d), dtype=np.float32)
    return descriptions, museums, rng.integers(0, 7, n)


def test_no_bit_depends_on_the_block_size() -> None:
    # 9 tiles: blocks of 2, 4, 5 tiles leave a smaller last one.
    descriptions, museums, themes = noisy_museums(9 * TILE - 50)
    expected = jax.tree.leaves(score_queries(descriptions, museums, themes, 1))
    for block_size in (TILE + 1, 4 * TILE, 5 * TILE, 9 * TILE, 10**6, None):
        actual = score_queries(descriptions, museums, themes, block_size)
        for one, other in zip(jax.tree.leaves(actual), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_directions_see_the_same_similarities() -> None:
    # Exchanging the towers exchanges the directions, to the bit, near-ties included:
    # every museum exists four times, far apart.
    descriptions, museums, themes = noisy_museums(100)
    descriptions, museums, themes = (
        np.tile(x, (4,) + (1,) * (x.ndim - 1)) for x in (descriptions, museums, themes)
    )
    t2s, s2t = score_queries(descriptions, museums, themes)
    swapped_s2t, swapped_t2s = score_queries(museums, descriptions, themes)
    for one, other in ((t2s, swapped_t2s), (s2t, swapped_s2t)):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)
    # Copies tie exactly: the k-th ranks k places behind the first.
    for scores in (t2s, s2t):
        ranks = scores.rank.reshape(4, 100)
        np.testing.assert_array_equal(ranks, ranks[0] + np.arange(4)[:, None])


def test_padding_may_hold_anything() -> None:
    descriptions, museums, themes = noisy_museums(150)
    expected = score_queries(descriptions, museums, themes)
    padding = [(0, 2 * TILE - 150), (0, 0)]
    for filler in (np.nan, np.inf, 1e30):
        actual = ranking.query_scores(
            jnp.asarray(np.pad(descriptions, padding, constant_values=filler)),
            jnp.asarray(np.pad(museums, padding, constant_values=filler)),
            jnp.asarray(np.pad(themes, padding[0]).astype(np.int32)),
            150,
            block_size=TILE,
        )
        for one, other in zip(
            jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_array_equal(one[:150], other)
            assert not np.asarray(one)[150:].any()


def test_vmap_over_runs_is_a_loop() -> None:
    runs = [noisy_museums(TILE, d=8, seed=seed) for seed in range(3)]
    themes = jnp.asarray(runs[0][2], jnp.int32)

    def core(descriptions, museums):
        scores = ranking.query_scores(
            descriptions, museums, themes, TILE, block_size=TILE
        )
        return jax.tree.map(lambda x: x + 0, scores)  # 32-bit code may go on with it

    many = jax.jit(jax.vmap(core))(
        jnp.stack([run[0] for run in runs]), jnp.stack([run[1] for run in runs])
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(many)} == {
        np.dtype(np.int32),
        np.dtype(np.float32),
    }
    for i, (descriptions, museums, _) in enumerate(runs):
        one = score_queries(descriptions, museums, np.asarray(themes))
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-6)


def test_sets_merge_by_concatenating_their_queries_scores() -> None:
    one, two = (
        score_queries(*noisy_museums(n, seed=n), block_size=None) for n in (40, 90)
    )
    merged = summarise(
        *(
            jax.tree.map(lambda *parts: np.concatenate(parts), a, b)
            for a, b in zip(one, two, strict=True)
        )
    )
    for name, value in summarise(*one).items():
        if not name.endswith("median_rank"):
            mean = (40 * value + 90 * summarise(*two)[name]) / 130
            assert merged[name] == pytest.approx(mean, rel=1e-9), name


def test_one_museum_is_perfect() -> None:
    found = retrieval_metrics([[0.5, 1.0]], [[-1.0, 0.0]], [3])
    for name, value in found.items():
        if name.endswith("_rank"):
            assert value == 1
        elif "class_P@" in name:
            assert value == 100 / int(name.partition("@")[2])
        else:
            assert value == 100


def test_equal_similarities_rank_by_index() -> None:
    n = 12
    ones = np.ones((n, 3), np.float32)
    for museums in (ones, 0 * ones):  # all 1, all 0
        for scores in score_queries(ones, museums, np.arange(n)):
            np.testing.assert_array_equal(scores.rank, np.arange(1, n + 1))
    # 0.0 and -0.0 are one similarity.
    signed = np.array([[-1, 0], [1, 0], [-1, 0]], np.float32)
    level = np.array([[0, 1]] * 3, np.float32)
    t2s, _ = score_queries(signed, level, np.arange(3))
    np.testing.assert_array_equal(t2s.rank, [1, 2, 3])
    found = retrieval_metrics(signed, level, np.array([0, 1, 0]))
    assert_agree(found, oracle(np.zeros((3, 3)), np.array([0, 1, 0])))


@pytest.mark.parametrize(
    ("which", "value", "name"),
    [
        (0, np.nan, "descriptions"),
        (1, np.inf, "museums"),
        (1, -np.inf, "museums"),
        (0, 1e25, "descriptions"),  # its square overflows
        (1, 1e300, "museums"),  # itself overflows float32
    ],
)
def test_embeddings_that_are_not_finite_are_refused_by_row(which, value, name) -> None:
    arrays = [np.ones((7, 4)), np.ones((7, 4))]
    arrays[which][5, 2] = value
    arrays[which][6, 0] = np.nan
    with pytest.raises(ValueError, match=rf"^{name}: .*row 5 ") as error:
        retrieval_metrics(arrays[0], arrays[1], range(7))
    assert "\n" not in str(error.value)


def test_inputs_that_do_not_fit_are_refused() -> None:
    a, b = np.ones((4, 3)), np.ones((5, 3))
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(5, 3\)"):
        retrieval_metrics(a, b, [0] * 4)
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        retrieval_metrics(a[:0], b[:0], [])
    with pytest.raises(ValueError, match=r"themes: .*\(4,\).*\(5,\)"):
        retrieval_metrics(a, a, [0] * 5)
    with pytest.raises(ValueError, match="themes: expected integers.*float64"):
        retrieval_metrics(a, a, [0.5] * 4)
    with pytest.raises(ValueError, match="block_size: expected at least 1, found 0"):
        retrieval_metrics(a, a, [0] * 4, block_size=0)


def test_no_hidden_transfer_and_any_float_type() -> None:
    descriptions, museums, themes = noisy_museums(60)
    descriptions, museums = (x.astype(jnp.bfloat16) for x in (descriptions, museums))
    expected = retrieval_metrics(
        descriptions.astype(np.float64), museums.astype(np.float64), themes
    )
    on_device = [jnp.asarray(x) for x in (descriptions, museums, themes)]
    with jax.transfer_guard("disallow"):
        assert retrieval_metrics(*on_device) == expected


def test_sizes_within_a_tile_share_a_compilation() -> None:
    compiled = []
    for n in (3, 70, TILE, TILE + 1):
        retrieval_metrics(*noisy_museums(n, d=11))
        scorer: Any = metrics._query_scores  # its cache is no public name
        compiled.append(scorer._cache_size())
    assert np.diff(compiled).tolist() == [0, 0, 1]


def test_all_pairs_are_multiplied_and_sorted_once_a_direction() -> None:
    n, d = 16 * TILE, 256
    rows = jax.ShapeDtypeStruct((n, d), jnp.float32)
    themes = jax.ShapeDtypeStruct((n,), jnp.int32)
    scorer: Any = metrics._query_scores
    program = scorer.lower(rows, rows, themes, np.int32(n), block_size=4 * TILE)
    one_product = 2 * n * n * d
    assert 2 <= program.cost_analysis()["flops"] / one_product < 2.2
    assert program.as_text().count("stablehlo.sort") == 2


MEASURE = """
import json, resource
import numpy as np
from hm3_jax.objective.metrics import retrieval_metrics
n, d = 50_000, 256
rng = np.random.default_rng(0)
descriptions = rng.standard_normal((n, d), dtype=np.float32)
museums = descriptions + 4 * rng.standard_normal((n, d), dtype=np.float32)
found = retrieval_metrics(descriptions, museums, rng.integers(0, 7, n))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"peak": peak * 1024, "metrics": found}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_fifty_thousand_museums_within_two_gigabytes(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env=os.environ | {"PYTHONPATH": str(repository), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout)
    assert measured["peak"] < 2e9
    assert all(np.isfinite(value) for value in measured["metrics"].values())
    assert measured["metrics"]["t2s_class_P@10"] > 100 / 7
