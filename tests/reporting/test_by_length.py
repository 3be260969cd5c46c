"""Quality by sentences of the query: read, listed and drawn beside means by hand."""

import csv
import dataclasses
import json
import statistics

import numpy as np
import pytest

from hm3_jax.files.run_format import LengthFacts
from hm3_jax.reporting.by_length import (
    lines_by_length,
    read_by_length,
    write_by_length,
)
from hm3_jax.reporting.length_tables import curves_of, length_table
from hm3_jax.reporting.read_runs import find_runs
from tests.reporting.run_folders import write_run

CHECKSUM = "ab" * 32
LENGTHS = ["1", "2", "4", "all"]


def facts(model: str, lengths, quality: float, **changes) -> LengthFacts:
    """A model that has the same of every metric, and more of it the longer a query."""
    keys = [
        "t2s_R@1", "t2s_R@5", "t2s_R@10", "t2s_median_rank", "t2s_mean_rank",
        *(f"t2s_class_{letter}@{k}" for letter in "RP" for k in (1, 5, 10)),
        "t2s_avg_ndcg", "t2s_avg_ndcg_by_class", "t2s_mAP", "t2s_mAP_by_class",
    ]  # fmt: skip
    found = LengthFacts(
        model=model,
        dataset_name="generatedDigitalExps",
        dataset_kind="real",
        features_checksum=CHECKSUM,
        split="test",
        query_seed=0,
        lengths={
            length: dict.fromkeys(keys, quality + place)
            for place, length in enumerate(lengths)
        },
    )
    return dataclasses.replace(found, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs by length, one of a version before it, two evaluations."""
    folder = tmp_path_factory.mktemp("by_length")
    for name, noise in (("A", 0.5), ("B", 2.0)):
        path = folder / "runs" / name / "rnn_rnn"
        write_run(path, museums=30, noise=noise, lengths=(1, 2, 4))
    write_run(folder / "runs/old/rnn_rnn", museums=30)
    for name, quality in (("zero-shot", 20.0), ("/some/runs/X/rnn/try_1", 10.0)):
        evaluation = folder / "evaluations" / name.replace("/", "_")
        evaluation.mkdir(parents=True)
        write_by_length(evaluation, facts(name, ["1", "8", "all"], quality))
    return folder


@pytest.fixture(scope="module")
def found(folder):
    runs = find_runs([folder / "runs"], pytest.fail)
    return curves_of(runs, [folder / "evaluations"], pytest.fail)


def of_tries(folder, run: str, length: str, metric: str) -> list[float]:
    paths = sorted((folder / "runs" / run / "rnn_rnn").glob("try_*/by_length.json"))
    files = [json.loads(path.read_text()) for path in paths]
    return [content["lengths"][length][metric] for content in files]


def test_what_was_written_is_read(tmp_path):
    wanted = facts("zero-shot", LENGTHS, 30.0)
    write_by_length(tmp_path, wanted)
    assert read_by_length(tmp_path / "by_length.json") == wanted
    with (tmp_path / "by_length.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sentences"] for row in rows] == LENGTHS
    assert [float(row["t2s_mAP"]) for row in rows] == [30, 31, 32, 33]
    lines = lines_by_length(wanted)
    assert len(lines) == 5 and lines[0].split()[:2] == ["sentences", "R@1"]
    assert lines[-1].split() == ["all", *["33.000"] * 5]


def test_the_table_has_means_over_tries(folder, found):
    ((searched, curves),) = found.items()
    table = length_table(searched, curves, "query_length")
    assert [curve.name for curve in curves] == [
        "A/rnn_rnn",
        "B/rnn_rnn",
        "X/rnn/try_1",
        "zero-shot",
    ]
    labels = [row.labels for row in table.rows]
    assert [length for length, _ in labels] == [
        *["1"] * 4, *["2"] * 2, *["4"] * 2, *["8"] * 2, *["all"] * 4
    ]  # fmt: skip
    place = [label for _, label in table.columns].index("t2s mAP")
    cells = {row.labels: row.cells[place] for row in table.rows}
    for run in "AB":
        values = of_tries(folder, run, "2", "t2s_mAP")
        cell = cells["2", f"{run}/rnn_rnn"]
        assert len(values) == 2 and len(set(values)) == 2
        assert cell.value == pytest.approx(statistics.fmean(values))
        assert cell.deviation == pytest.approx(statistics.stdev(values))
    assert cells["8", "zero-shot"].value == 21
    assert [cells["8", name].mark for name in ("zero-shot", "X/rnn/try_1")] == [
        "best",
        "",
    ]
    rank = [label for _, label in table.columns].index("t2s medR")
    ranks = {row.labels: row.cells[rank] for row in table.rows}
    assert ranks["8", "X/rnn/try_1"].mark == "best"  # lower is better


def test_other_data_splits_and_seeds_stand_apart(folder, tmp_path):
    for name, changes in (
        ("a", {}),
        ("b", {"split": "val"}),
        ("c", {"query_seed": 1}),
        ("d", {"features_checksum": "cd" * 32}),
    ):
        (tmp_path / name).mkdir()
        write_by_length(tmp_path / name, facts("m", ["1"], 5.0, **changes))
    runs = find_runs([folder / "runs"], pytest.fail)
    apart = curves_of(runs, [tmp_path], pytest.fail)
    assert [len(curves) for curves in apart.values()] == [3, 1, 1, 1]
    assert [str(searched).split(" of ")[0] for searched in apart] == [
        "test",
        "val",
        "test",
        "test",
    ]
    assert str(list(apart)[2]).endswith("query seed 1")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"model": "m"}', '{"lengths": {"1": 2}}', "lengths", "number", "nan"],
)
def test_what_is_damaged_is_named_and_left_out(tmp_path, content):
    write_run(tmp_path / "A/rnn_rnn", lengths=(1,))
    path = tmp_path / "A/rnn_rnn/try_2/by_length.json"
    whole = json.loads(path.read_text())
    changed = {
        "lengths": whole | {"lengths": {"few": whole["lengths"]["1"]}},
        "number": whole | {"lengths": {"1": {"t2s_mAP": "much"}}},
        "nan": whole | {"lengths": {"1": {"t2s_mAP": float("nan")}}},
    }
    path.write_text(json.dumps(changed[content]) if content in changed else content)
    said = []
    (run,) = find_runs([tmp_path], said.append)
    assert len(said) == 1 and said[0].startswith(str(path))
    assert "not reported by sentences" in said[0] and "\n" not in said[0]
    assert [t.by_length is None for t in run.tries] == [False, True]
    assert run.tries[1].metrics


def test_a_folder_without_evaluations_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected an evaluation, found none"):
        curves_of([], [tmp_path / "nothing"], pytest.fail)
    with pytest.raises(ValueError, match="expected by_length.json"):
        curves_of([], [tmp_path], pytest.fail)


def test_the_figure_draws_the_means(folder, found):
    pytest.importorskip("matplotlib")
    from hm3_jax.reporting.figures.lengths import draw_lengths
    from hm3_jax.reporting.figures.style import settings

    ((searched, curves),) = found.items()
    with settings():
        drawing = draw_lengths(searched, curves, [curves[0].run], "query_length")
    # Of the runs, that which is shown; and all evaluations.
    assert {row[0] for row in drawing.rows} == {"A/rnn_rnn", "zero-shot", "X/rnn/try_1"}
    rows = {(model, n, metric): mean for model, n, metric, mean, _ in drawing.rows}
    wanted = statistics.fmean(of_tries(folder, "A", "4", "t2s_R@10"))
    assert rows["A/rnn_rnn", "4", "t2s_R@10"] == pytest.approx(wanted)
    axis = drawing.figure.axes[0]
    ticks = [tick.get_text() for tick in axis.get_xticklabels()]
    assert ticks == ["1", "2", "4", "8", "all"]
    lines = [line for line in axis.get_lines() if line.get_marker() != "None"]
    drawn = {
        tuple(np.asarray(line.get_xdata())): (line.get_color(), line.get_ydata())
        for line in lines
    }
    colour, heights = drawn[0, 1, 2, 4]
    assert colour != "#888888"
    assert np.asarray(heights)[2] == pytest.approx(wanted)
    grey = [line for line in lines if line.get_color() == "#888888"]
    assert [np.asarray(line.get_xdata()).tolist() for line in grey] == [[0, 3, 4]]
    assert np.asarray(grey[0].get_ydata()).tolist() == [20, 21, 22]
    assert "Grey: zero-shot" in drawing.caption and "1 more" in drawing.caption
