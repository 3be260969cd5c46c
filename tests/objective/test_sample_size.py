import pytest

from hm3_jax.objective.sample_size import (
    ENOUGH,
    recall_interval,
    small_split_notes,
)

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(
    ("hits", "queries"), [(0, 5), (1, 2), (7, 9), (40, 80), (3, 3)]
)
def test_intervals_are_those_of_scipy(hits, queries):
    wanted = stats.binomtest(hits, queries).proportion_ci(0.95, method="wilson")
    found = recall_interval(100 * hits / queries, queries)
    assert found == pytest.approx((100 * wanted.low, 100 * wanted.high), abs=1e-4)


def test_few_museums_are_named_with_what_that_means():
    metrics = {"t2s_R@1": 50.0, "t2s_R@5": 100.0, "t2s_R@10": 100.0, "s2t_R@1": 0.0}
    assert small_split_notes("test", 2, metrics) == [
        "test has 2 museums, so R@5 and R@10 are 100 whatever a model finds",
        "test has 2 museums: the 95 % interval of its R@1 of 50.0 is 9 to 91",
    ]
    assert small_split_notes("val", 1, metrics) == [
        "val has 1 museum, so R@1 and R@5 and R@10 are 100 whatever a model finds"
    ]
    (note,) = small_split_notes("test", 50, metrics)
    assert note.endswith("R@1 of 50.0 is 37 to 63")
    assert small_split_notes("test", ENOUGH, metrics) == []
