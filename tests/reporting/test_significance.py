"""Which runs are compared, on which queries, and what counts as level."""

import json

import numpy as np
import pytest

from hm3_jax.objective.metric_table import KEYS
from hm3_jax.reporting.bootstrap import over_queries, over_tries
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.release_output import read_tested
from hm3_jax.reporting.render import comma_separated, latex, markdown
from hm3_jax.reporting.run_tables import metric_cells, significance_table
from hm3_jax.reporting.significance import Comparison, best_of, compare, same_museums
from tests.reporting.run_folders import write, write_run

ALIKE = np.full(2, 7.0), np.full(3, 6.0)


def read(folder):
    runs = find_runs([folder], pytest.fail)
    tests = {
        run: read_tested(run, both_by_theme=True, embeddings=False) for run in runs
    }
    return runs, tests


@pytest.fixture
def two(tmp_path):
    """A run that ranks nearly at random, and a good one."""
    write_run(tmp_path / "A" / "rnn_rnn", museums=60, noise=9.0)
    write_run(tmp_path / "B" / "rnn_rnn", museums=60, noise=0.3)
    return read(tmp_path)


def test_differences_are_those_of_the_means(two):
    (a, b), tests = two
    found = compare([(a, b)], tests, KEYS)
    assert {c.metric for c in found} == {m for m in KEYS if "median" not in m}
    for c in found:
        expected = a.mean(c.metric) - b.mean(c.metric)
        assert c.queries.difference == pytest.approx(expected, abs=1e-3)
        assert c.tries is not None
        assert c.tries.difference == pytest.approx(expected)
        assert c.queries.low <= c.queries.difference <= c.queries.high
    (of_map,) = (c for c in found if c.metric == "t2s_mAP")
    assert of_map.queries.significant and of_map.queries.high < 0


def test_museums_in_another_order_are_the_same_queries(two):
    (a, b), tests = two
    before = compare([(a, b)], tests, ["t2s_mAP"])
    path = b.folder / "test_output.json"
    path.with_suffix(".npz").unlink()
    entries = json.loads(path.read_text())
    order = np.random.default_rng(0).permutation(60)
    for entry in entries:
        for key, value in entry.items():
            if isinstance(value, list):
                entry[key] = [value[i] for i in order]
    write(path, entries)
    tests[b] = read_tested(b, both_by_theme=True, embeddings=False)
    assert tests[b].ids != tests[a].ids and same_museums(tests[a], tests[b])
    after = compare([(a, b)], tests, ["t2s_mAP"])
    assert after[0].queries.low == pytest.approx(before[0].queries.low)
    assert after[0].queries.p == before[0].queries.p


def test_other_museums_are_refused(tmp_path):
    write_run(tmp_path / "A" / "rnn_rnn", museums=12)
    write_run(tmp_path / "B" / "rnn_rnn", museums=15)
    (a, b), tests = read(tmp_path)
    with pytest.raises(ValueError, match="A/rnn_rnn and B/rnn_rnn: expected tests on"):
        compare([(a, b)], tests, ["t2s_mAP"])


def test_best_and_level(tmp_path):
    write_run(tmp_path / "A" / "rnn_rnn", museums=60, noise=9.0)
    write_run(tmp_path / "B" / "rnn_rnn", museums=60, noise=0.3)
    write_run(tmp_path / "C" / "rnn_rnn", museums=60, noise=0.3)
    (a, b, c), tests = read(tmp_path)
    assert best_of([a, b], "t2s_mAP") is b
    assert best_of([a, b], "t2s_mean_rank") is b
    cells = metric_cells([a, b, c], tests, "t2s_mAP")
    assert [cells[run].mark for run in (a, b, c)] == ["", "best", "level"]
    # Without tests nothing is known of the others, and nothing is said.
    cells = metric_cells([a, b, c], {}, "t2s_mAP")
    assert [cells[run].mark for run in (a, b, c)] == ["", "best", ""]


def test_the_table_has_both_intervals(two):
    (a, b), tests = two
    table = significance_table(compare([(a, b)], tests, ["t2s_mAP"]), "x", "X")
    (row,) = table.rows
    assert table.spans == [
        ("", 2, 2),
        ("over queries", 3, 5),
        ("over tries", 6, 8),
    ]
    assert row.labels == ("t2s mAP",)
    assert all(cell.value is not None for cell in row.cells)


def test_the_table_has_no_p_where_nothing_varies():
    queries, one = over_queries(np.array([[0.83, 0.0], [0.83, 2.0]]))
    tries = over_tries(np.array([4.83, 3.83]), np.array([4.0, 3.0]), paired=True)
    table = significance_table(
        [Comparison("A", "B", "t2s_mAP", queries, tries)]
        + [Comparison("A", "B", "t2s_R@1", one, over_tries(*ALIKE, paired=False))],
        "x",
        "X",
    )
    first, second = table.rows
    assert [cell.number for cell in first.cells] == ["+0.83"] + ["–"] * 6
    assert [cell.number for cell in second.cells[1:4]] != ["–"] * 3
    assert [cell.number for cell in second.cells[4:]] == ["–"] * 3
    assert "neither interval nor p" in table.notes[0]
    assert comma_separated(table).splitlines()[1] == "t2s mAP,0.83,,,,,,"


def test_no_p_is_shown_as_zero():
    far = over_tries(np.array([80.0, 80.1, 80.2]), np.zeros(3), paired=True)
    near = over_tries(np.array([1.0, 2.0, 3.0]), np.zeros(3), paired=True)
    assert far is not None and near is not None and 0 < far.p < 5e-5 < near.p
    (query,) = over_queries(np.arange(9.0)[:, None])
    table = significance_table(
        [Comparison("A", "B", "t2s_mAP", query, tries) for tries in (far, near)],
        "x",
        "X",
    )
    assert [row.cells[-1].number for row in table.rows] == ["< 0.0001", f"{near.p:.4f}"]
    assert r"$<$ 0.0001" in latex(table) and r"\< 0.0001" in markdown(table)
    assert f"{far.p:.10g}" in comma_separated(table)


def test_the_table_names_runs_where_there_are_several(two):
    (a, b), tests = two
    table = significance_table(compare([(a, b), (b, a)], tests, ["t2s_mAP"]), "x", "X")
    assert table.label_heads == ("metric", "A", "B")
    assert [row.labels[1:] for row in table.rows] == [
        ("A/rnn_rnn", "B/rnn_rnn"),
        ("B/rnn_rnn", "A/rnn_rnn"),
    ]
