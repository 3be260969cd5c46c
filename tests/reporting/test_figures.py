"""What figures draw, beside sums by hand; and that nothing is drawn outside them."""

import csv
import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.transforms import Bbox

from hm3_jax.reporting import draw
from hm3_jax.reporting.draw import draw_all
from hm3_jax.reporting.figures.confusion import theme_shares
from hm3_jax.reporting.figures.density import density
from hm3_jax.reporting.figures.maps import (
    draw_map,
    project_pca,
    project_tsne,
    sample,
)
from hm3_jax.reporting.figures.strips import quartile_queries
from hm3_jax.reporting.figures.style import (
    COLOURS,
    THEME_COLOURS,
    settings,
    shade,
    short_names,
    wrapped,
)
from hm3_jax.reporting.figures.trade_off import draw_trade_off
from hm3_jax.reporting.query_scores import Ranking
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.release_output import read_tested
from tests.reporting.run_folders import (
    THEMES,
    embeddings,
    theme_settings,
    write_run,
)

LONG = "CN_TC_2nd_w_0.05_2nd_m_0.1_with_a_name_that_goes_on"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, noise, options in (
        ("STL", 0.5, {}),
        (LONG, 1.0, theme_settings(0.05)),
        ("W", 2.0, theme_settings(0.5)),
    ):
        write_run(folder / name / "rnn_rnn", museums=30, noise=noise, settings=options)
    runs = find_runs([folder], pytest.fail)
    tests = {
        run: read_tested(run, both_by_theme=False, embeddings=True) for run in runs
    }
    with settings():
        drawings = list(
            draw_all({runs[0].data: runs}, runs, tests, lambda n, d: n, pytest.fail)
        )
        yield {drawing.name: drawing for drawing in drawings}, runs, tests


def test_all_figures_are_drawn_and_written(drawn, tmp_path):
    drawings, _, _ = drawn
    assert list(drawings) == [
        "trade_off",
        "training_curves",
        "ranking_strips",
        "density",
        "theme_confusion",
        "map_pca",
        "map_tsne",
    ]
    drawing = drawings["density"]
    dots = drawing.figure.dpi
    drawing.write(tmp_path)
    assert drawing.figure.dpi == dots
    assert (tmp_path / "density.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "density.svg").read_text()
    assert (tmp_path / "density.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "density.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == drawing.heads and len(rows) == 1 + 3 * 201


def test_nothing_is_clipped_and_nothing_lies_on_a_legend_or_label(drawn):
    drawings, _, _ = drawn
    for name, drawing in drawings.items():
        check_that_all_is_seen(drawing.figure, name)


def check_that_all_is_seen(figure, name):
    """Nothing is clipped, and nothing lies on a legend or label."""
    figure.canvas.draw()
    drawn_on, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn_on.x0 >= -0.01 and drawn_on.y0 >= -0.01, name
    assert drawn_on.x1 <= width + 0.01 and drawn_on.y1 <= height + 0.01, name
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for first, second in itertools.combinations(boxes, 2):
        # A pixel and a half of 100 an inch: boxes that touch.
        shared = Bbox.intersection(first, second)
        assert shared is None or min(shared.width, shared.height) < 1.5, name


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Many strategies, themes and long names, one of them a formula by its looks."""
    folder = tmp_path_factory.mktemp("crowded")
    strategies = ("rnn_cnn1d", "hier_by_room_rnn_meanPoolProc", "rnn_meanPoolProc")
    for strategy in (*strategies, *(f"{name}_video" for name in strategies)):
        for weight in (0.05, 0.5):
            name = f"_{LONG}_of_$w_{{{weight}$"
            write_run(
                folder / name / strategy,
                museums=40,
                settings=theme_settings(weight),
                themes=[f"TYPE_with_a_long_name_{i}" for i in range(20)],
            )
    runs = find_runs([folder], pytest.fail)
    tests = {
        run: read_tested(run, both_by_theme=False, embeddings=True) for run in runs
    }
    with settings():
        drawings = draw_all(
            {runs[0].data: runs},
            runs[:3] + runs[6:9],
            tests,
            lambda n, d: n,
            pytest.fail,
        )
        yield {drawing.name: drawing for drawing in drawings}


def test_long_names_and_many_themes_fit(crowded):
    for name, drawing in crowded.items():
        check_that_all_is_seen(drawing.figure, name)
        for axis in drawing.figure.axes:
            for labels, low, high in (
                (axis.get_xticklabels(), "x0", "x1"),
                (axis.get_yticklabels(), "y0", "y1"),
            ):
                extents = [label.get_window_extent() for label in labels]
                extents.sort(key=lambda box, low=low: getattr(box, low))
                for before, after in itertools.pairwise(extents):
                    assert getattr(before, high) <= getattr(after, low) + 1.5, name


def test_legends_name_all_runs_whatever_their_names(crowded):
    (legend,) = crowded["training_curves"].figure.legends
    texts = [text.get_text().replace("\n", "") for text in legend.get_texts()]
    assert len(texts) == 6
    assert all("_of_$w_{0.05$" in text for text in texts[:3])
    assert all("_of_$w_{0.5$" in text for text in texts[3:])
    (legend,) = crowded["map_pca"].figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[-3:] == ["11 others", "description", "museum"]


def test_strategies_with_and_without_videos_share_a_hue_and_differ(crowded):
    (legend,) = crowded["trade_off"].figure.legends
    lines = {
        text.get_text(): (line.get_color(), line.get_linestyle())
        for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    for base, hue in zip(("b 1dCNN", "b MP", "h MP+bi-GRU"), COLOURS, strict=False):
        assert lines[f"{base}, +video"] == (shade(hue, 0), "-")
        assert lines[base] == (shade(hue, 1), "--")


def test_row_names_do_not_overlap(tmp_path):
    for name in ("STL", LONG):
        for strategy in ("rnn_rnn", "rnn_meanPoolProc"):
            write_run(tmp_path / name / strategy, museums=12)
    runs = find_runs([tmp_path], pytest.fail)
    tests = {
        run: read_tested(run, both_by_theme=False, embeddings=True) for run in runs
    }
    with settings():
        drawings = draw_all(
            {runs[0].data: runs}, runs, tests, lambda n, d: n, pytest.fail
        )
        by_name = {drawing.name: drawing for drawing in drawings}
    figure = by_name["ranking_strips"].figure
    figure.canvas.draw()
    for axis in figure.axes:
        boxes = [label.get_window_extent() for label in axis.get_yticklabels()]
        assert len(boxes) == 4
        for first, second in itertools.pairwise(sorted(boxes, key=lambda box: box.y0)):
            assert first.y1 <= second.y0
    figure = by_name["density"].figure
    figure.canvas.draw()
    boxes = [axis.yaxis.label.get_window_extent() for axis in figure.axes]
    for upper, lower in itertools.pairwise(boxes):
        assert lower.y1 <= upper.y0


def test_trade_off_has_means_of_all_runs(drawn):
    drawings, runs, _ = drawn
    rows = [row for row in drawings["trade_off"].rows if row[0] == "ours"]
    assert {(row[1], row[4], row[5], row[7]) for row in rows} == {
        (run.name, weight, run.mean("t2s_mAP"), run.mean("t2s_mAP_by_class"))
        for run, weight in zip(runs, (0.05, "STL", 0.5), strict=True)
    }
    # The data set is the published one, so the 28 published points are there too.
    assert len(drawings["trade_off"].rows) == 3 + 28
    assert "published" in drawings["trade_off"].caption


def test_trade_off_leaves_out_what_has_no_line(tmp_path):
    for weight, margin in ((0.05, 0.15), (0.5, 0.15), (0.05, 0.3)):
        write_run(
            tmp_path / f"{weight}_{margin}" / "rnn_rnn",
            settings=theme_settings(weight, margin),
            kind="synthetic",
        )
    runs = find_runs([tmp_path], pytest.fail)
    with settings():
        drawing = draw_trade_off(runs[0].data, runs, "x")
    assert drawing is not None and len(drawing.rows) == 2
    assert "because they have only one weight: 0.05_0.3/rnn_rnn." in drawing.caption


def test_another_loss_is_drawn_as_such_and_named_by_what_differs(tmp_path):
    for name, options in (
        ("STL", {}),
        ("Mine", {"loss": "info_nce"}),
        ("Fast", {"lr": 0.1}),
        ("Drawn", {"use_categories_in_loss": True, "new_positive_samples": 2}),
    ):
        folder = tmp_path / name / "rnn_meanPoolProc_video"
        write_run(folder, settings=options, kind="synthetic")
    runs = find_runs([tmp_path], pytest.fail)
    with settings():
        drawing = draw_trade_off(runs[0].data, runs, "x")
    assert drawing is not None
    shown = {row[1].partition("/")[0]: (row[2], row[4]) for row in drawing.rows}
    plain = "lr 0.0005, loss triplet, new_positive_samples none"
    assert shown == {
        "STL": (f"b MP ({plain}), +video", "STL"),
        "Mine": (
            "b MP (lr 0.0005, loss info_nce, new_positive_samples none), +video",
            "other loss",
        ),
        "Fast": (f"b MP ({plain.replace('0.0005', '0.1')}), +video", "STL"),
        "Drawn": (f"b MP ({plain.replace('none', '2')}), +video", "other loss"),
    }
    (legend,) = drawing.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts.count("STL") == texts.count("other loss") == 1


def test_curves_are_means_over_tries(drawn):
    drawings, runs, _ = drawn
    rows = [r for r in drawings["training_curves"].rows if r[0] == runs[0].name]
    losses = [row[2:] for row in rows if row[1] == "val loss"]
    assert losses == [
        (epoch, pytest.approx(2 / epoch), 2 / epoch, 2 / epoch, 2)
        for epoch in (1, 2, 3)
    ]


def test_strips_hold_every_museum_of_the_theme(drawn):
    drawings, runs, tests = drawn
    rows = drawings["ranking_strips"].rows
    # 3 quartiles, 3 runs, 10 museums a theme, of which one is the one described.
    assert len(rows) == 3 * 3 * 10
    assert sum(row[4] for row in rows) == 9
    museum = rows[0][1]
    query = tests[runs[0]].ids.index(museum)
    (rank,) = (
        r[3] for r in rows if r[:3] == ("lower quartile", museum, runs[0].name) and r[4]
    )
    assert rank == tests[runs[0]].scores["t2s_mean_rank"][0, query]


def test_density_integrates_to_one():
    grid = np.linspace(0, 100, 2001)
    values = np.concatenate([np.full(50, 99.0), np.linspace(0, 30, 40)])
    heights = density(values, grid)
    assert np.trapezoid(heights, grid) == pytest.approx(1, abs=1e-3)
    equal = density(np.full(7, 100.0), grid)
    assert np.trapezoid(equal, grid) == pytest.approx(1, abs=1e-2)


def test_quartile_queries():
    values = np.array([50.0, 10.0, 40.0, 30.0, 20.0])
    assert quartile_queries(values).tolist() == [4, 3, 2]
    assert quartile_queries(np.array([1.0, 1.0, 1.0])).tolist() == [0, 1, 1]


def test_theme_shares_beside_a_loop():
    described, shown, themes = embeddings(2, 200)
    ranking = Ranking.of(described, shown)
    expected = np.zeros((3, 3))
    for query, row in enumerate(ranking.similarity(slice(None))):
        for item in sorted(range(200), key=lambda i, r=row: (-r[i], i))[:10]:
            expected[themes[query], themes[item]] += 1
    expected *= 100 / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(theme_shares(ranking, themes, len(THEMES)), expected)


def test_pca_beside_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    described, shown, _ = embeddings(2, 50)
    ranking = Ranking.of(described, shown)
    museums = np.arange(0, 50, 2)
    found, shares = project_pca(ranking, museums)
    points = np.concatenate([ranking.queries[museums], ranking.items[museums]])
    pca = decomposition.PCA(2, svd_solver="full").fit(points)
    np.testing.assert_allclose(np.abs(found), np.abs(pca.transform(points)), atol=1e-4)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, rtol=1e-4)


def test_large_maps_are_made_in_processes_of_their_own(monkeypatch, tmp_path):
    """And are the same there."""
    write_run(tmp_path / "A" / "rnn_rnn", tries=[1])
    write_run(tmp_path / "B" / "rnn_rnn", tries=[1], noise=2.0)
    runs = find_runs([tmp_path], lambda line: None)
    tests = {
        run: read_tested(run, both_by_theme=False, embeddings=True) for run in runs
    }

    def rows():
        arguments = ({runs[0].data: runs}, runs, tests, lambda n, d: n, pytest.fail)
        (drawing,) = (d for d in draw_all(*arguments) if d.name == "map_tsne")
        return drawing.rows

    with settings():
        alone = rows()
        monkeypatch.setattr(draw, "_MANY", 0)
        assert rows() == alone


def test_tsne_is_the_same_again_and_keeps_themes_together():
    pytest.importorskip("sklearn")
    described, shown, themes = embeddings(2, 60, noise=0.1)
    ranking = Ranking.of(described, shown)
    first = project_tsne(ranking, np.arange(60))
    assert np.array_equal(first, project_tsne(ranking, np.arange(60)))
    # A museum lies near its description.
    apart = np.linalg.norm(first[:60] - first[60:], axis=1)
    spread = np.linalg.norm(first - first.mean(axis=0), axis=1)
    assert np.median(apart) < 0.2 * np.median(spread)


@pytest.mark.parametrize("count", [5, 1000, 1001, 5000])
def test_sample(count):
    found = sample(count)
    assert len(found) == min(count, 1000) == len(set(found.tolist()))
    assert found.max() < count and np.array_equal(found, sample(count))


def test_themes_of_one_museum_have_no_figures_of_themes(tmp_path):
    folder = write_run(tmp_path / "A" / "rnn_rnn", tries=[1], museums=3)
    (run,) = find_runs([folder], lambda line: None)
    tests = {run: read_tested(run, both_by_theme=False, embeddings=True)}
    said: list[str] = []
    with settings():
        drawings = draw_all(
            {run.data: [run]}, [run], tests, lambda n, d: n, said.append
        )
        names = [drawing.name for drawing in drawings]
    assert names == ["trade_off", "training_curves", "map_pca", "map_tsne"]
    assert said == [
        "no ranking strips, density and confusion of themes: every test museum has "
        "its own theme"
    ]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("four", "four"),
        ("a_b_c_d", "a_b_\nc_d"),
        ("abcdefg", "abcd\nefg"),
        ("ab cd ef", "ab\ncd\nef"),
    ],
)
def test_wrapped(name, lines):
    assert wrapped(name, 4) == lines


def test_short_names_tell_runs_apart(drawn):
    _, runs, _ = drawn
    assert short_names(runs, ["GRU"] * 3)[1:] == ["STL", "W"]
    assert short_names(runs[:1] * 2, ["GRU", "CNN"]) == ["GRU", "CNN"]
    assert short_names(runs[1:], ["GRU", "CNN"]) == ["STL\nGRU", "W\nCNN"]


@pytest.mark.parametrize(("more", "label"), [(1, "theme_09"), (2, "2 others")])
def test_themes_beyond_the_colours_of_maps(tmp_path, more, label):
    themes = [f"theme_{number:02d}" for number in range(len(THEME_COLOURS) + more)]
    folder = write_run(
        tmp_path / "A" / "rnn_rnn", museums=2 * len(themes), themes=themes
    )
    (run,) = find_runs([folder], pytest.fail)
    tested = read_tested(run, both_by_theme=False, embeddings=True)
    assert tested.embedded is not None
    points, _ = project_pca(tested.embedded.ranking, sample(len(tested.ids)))
    with settings():
        drawing = draw_map(
            "PCA",
            {run: "A"},
            {run: tested},
            {run: tested.embedded},
            {run: points},
            "map_pca",
        )
        (legend,) = drawing.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [*themes[: len(THEME_COLOURS)], label, "description", "museum"]
