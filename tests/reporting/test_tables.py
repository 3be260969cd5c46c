"""Tables: what is in their cells, and how they are written."""

import csv
import dataclasses
import datetime
import io
import itertools
import json
import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from hm3_jax.reporting.layouts import LAYOUTS, layout_table
from hm3_jax.reporting.published import load_published, said
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.render import (
    comma_separated,
    html_report,
    latex,
    literal,
    markdown,
    markdown_report,
)
from hm3_jax.reporting.run_tables import all_runs, settings_table
from hm3_jax.reporting.tables import Cell, Report, Row, Table
from tests.reporting.run_folders import (
    PUBLISHED,
    change,
    published,
    strategy_of,
    theme_settings,
    write_run,
)

GRU = "hier_by_room_rnn_meanPoolProc"
POOL = "rnn_meanPoolProc"


def layout(folder, name) -> Any:
    """A table, or None."""
    runs = find_runs([folder], pytest.fail)
    return layout_table(name, runs[0].data, runs, {}, name)


def rows_of(table, strategy) -> dict[str, Any]:
    """Cells of ours, published and difference, as texts."""
    at = next(i for i, row in enumerate(table.rows) if row.labels[0] == strategy)
    block = [table.rows[at]] + list(
        itertools.takewhile(lambda row: not row.labels[0], table.rows[at + 1 :])
    )
    return {row.labels[1]: row.cells for row in block}


def test_published_numbers_stand_beside_ours(tmp_path):
    write_run(tmp_path / "STL" / f"{GRU}_video", **PUBLISHED)
    theme_aware = published(**theme_settings(0.05))
    write_run(tmp_path / "T" / f"{GRU}_video", **theme_aware)
    write_run(tmp_path / "V" / GRU, **theme_aware)
    table = layout(tmp_path, "stl_vs_theme")
    assert table is not None
    heads = ["STL, +video", "theme w 0.05, views only", "theme w 0.05, +video"]
    assert [(group, last - first + 1) for group, first, last in table.spans] == [
        (head, 4) for head in heads
    ]
    rows = rows_of(table, "h MP+bi-GRU")
    theirs = [99.3, 99.5, 41.2, 84.6, 77.7, 83.0, 68.8, 93.0, 88.9, 91.6, 74.3, 94.9]
    assert [cell.value for cell in rows["published"]] == theirs
    ours = [cell.value for cell in rows["ours"]]
    found = [cell.value for cell in rows["difference"]]
    assert found == pytest.approx([a - b for a, b in zip(ours, theirs, strict=True)])
    assert [row.labels[0] for row in table.rows[::3]] == [
        "h MP+1dCNN",
        "h MP+bi-GRU",
        "b 1dCNN",
        "b MP",
    ]
    assert rows_of(table, "b MP")["ours"][0].number == "–"
    # What stands in another layout is not trained otherwise than published.
    for name in ("stl_vs_theme", "weights", "video"):
        notes = layout(tmp_path, name).notes
        assert not any("otherwise" in note for note in notes)


def test_of_another_data_set_no_difference_but_a_note(tmp_path):
    write_run(tmp_path / "STL" / f"{POOL}_video", dataset="residences", **PUBLISHED)
    table = layout(tmp_path, "stl_vs_theme")
    assert rows_of(table, "b MP").keys() == {"ours", "published"}
    assert "They cannot be compared" in " ".join(table.notes)


@pytest.mark.parametrize("kind", ["synthetic", "unknown"])
def test_of_features_that_are_not_real_no_difference(tmp_path, kind):
    write_run(tmp_path / "STL" / f"{POOL}_video", kind=kind, **PUBLISHED)
    table = layout(tmp_path, "stl_vs_theme")
    assert "difference" not in rows_of(table, "b MP")


def test_weights_and_margins_find_their_columns(tmp_path):
    weights = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75)
    for weight in weights:
        of_weight = published(**theme_settings(weight))
        write_run(tmp_path / f"w{weight}" / f"{POOL}_video", **of_weight)
    for margin in (0.1, 0.2):
        of_margin = published(**theme_settings(0.05, margin))
        write_run(tmp_path / f"m{margin}" / f"{POOL}_video", **of_margin)
    table = layout(tmp_path, "weights")
    rows = rows_of(table, "b MP")
    assert [cell.value for cell in rows["published"]] == [
        *(3.3, 99.8, 22.8, 94.2, 61.0, 81.9, 72.7, 75.7),
        *(82.4, 67.8, 83.7, 60.6, 82.7, 52.7),
    ]
    assert all(cell.value is not None for cell in rows["difference"])
    margins = layout(tmp_path, "margins")
    assert [head for head, _, _ in margins.spans] == [
        "margin 0.10",
        "margin 0.15",
        "margin 0.20",
    ]
    theirs = [cell.value for cell in rows_of(margins, "b MP")["published"]]
    assert theirs[::4] == [50.0, 61.0, 66.8]
    assert layout(tmp_path, "hierart_comparison") is None


def test_hierart_comparison(tmp_path):
    of_museums3k = published(epochs=50, lr=0.001, scheduler_step_size=27)
    for name in ("rnn_rnn", "hier_by_room_rnn_2_meanPoolProc"):
        write_run(tmp_path / "H" / name, dataset="museums3k", **of_museums3k)
    table = layout(tmp_path, "hierart_comparison")
    cells = rows_of(table, "h MP+MP (HierArt)")
    assert [c.value for c in cells["published"]] == [
        *(36.8, 67.5, 80.1, 3.0, 35.0, 65.3, 78.7, 3.0)
    ]
    assert cells["difference"][3].value == pytest.approx(cells["ours"][3].value - 3.0)


SETTINGS = {
    "seed": 1,
    "batch_size": 32,
    "epochs": 3,
    "lr": 0.001,
    "scheduler_step_size": 6,
    "scheduler_gamma": 0.5,
    "number_of_tries": 2,
    "loss_margin": 0.2,
    "use_categories_in_loss": True,
    "filter_out_hard_negatives": True,
    "loss_patience": 9,
    "cnn1d_masking": "channels",
    "loss": "info_nce",
    "scheduler": "cosine",
    "weight_decay": 0.01,
    # Of another version: nobody here knows what they do.
    "sharpness": 0.07,
    "unheard_of": None,
}
OTHERWISE: dict[str, Any] = {
    **{name: {"settings": {name: value}} for name, value in SETTINGS.items()},
    "strategy": {"strategy": strategy_of(f"{GRU}_video")},
    "inputs": {"name": POOL},
    "another strategy": {"name": "mine_video"},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_any_other_setting_keeps_a_run_out_of_published_cells(tmp_path, name):
    other = dict(OTHERWISE[name])
    stem = other.pop("name", f"{POOL}_video")
    settings = {**PUBLISHED["settings"], **other.pop("settings", {})}
    options = {"tries": (1, 2, 3), "settings": settings, **other}
    write_run(tmp_path / "Otherwise" / stem, **options)
    assert layout(tmp_path, "stl_vs_theme") is None
    # Beside one that is as published, it is in no cell either.
    write_run(tmp_path / "STL" / f"{POOL}_video", noise=2.0, **PUBLISHED)
    runs = find_runs([tmp_path], lambda line: None)
    table = layout_table("stl_vs_theme", runs[0].data, runs, {}, "x")
    assert table is not None
    (mine,) = (run for run in runs if run.experiment == "STL")
    shown = [cell.value for row in table.rows[::3] for cell in row.cells]
    wanted = [mine.mean(key) for key in ("t2s_mAP", "t2s_avg_ndcg")]
    assert [value for value in shown if value is not None][:2] == wanted
    assert sum(value is not None for value in shown) == 4
    assert not any("same settings, not shown" in note for note in table.notes)
    # It stands in the table of all runs, named by what differs.
    whole = all_runs(runs[0].data, runs, {}, "runs")
    assert len(whole.rows) == 2
    for setting, value in settings.items():
        if setting == name:
            (row,) = (row for row in whole.rows if row.labels[0] == "Otherwise")
            assert f"{name} {said(value)}" in row.labels[2]
            assert any(f"Otherwise/{stem} ({name}" in note for note in table.notes)


def test_runs_of_a_grid_all_stand_in_the_report(tmp_path):
    """What sweep --grid makes: neither rate hides the other."""
    for weight in (0.0, 0.05, 0.5):
        for rate in (0.001, 0.0005):
            settings = theme_settings(weight) | {"lr": rate}
            name = f"run_second_loss_component_weight={weight},lr={rate}"
            write_run(tmp_path / name / f"{POOL}_video", settings=settings)
    runs = find_runs([tmp_path], pytest.fail)
    table = all_runs(runs[0].data, runs, {}, "runs")
    assert table.label_heads[2] == "settings that differ"
    assert {row.labels[2] for row in table.rows} == {
        f"lr {rate}, second_loss_component_weight {weight}"
        for weight in (0.0, 0.05, 0.5)
        for rate in (0.001, 0.0005)
    }
    common = settings_table(runs[0].data, runs, "settings")
    values = {row.labels[0]: row.labels[1] for row in common.rows}
    assert values["epochs"] == "25" and "lr" not in values
    assert values["loss_within_category_margin"] == "0.15"
    assert values["best_strategy"] == "none"


def test_the_same_settings_again_are_said_to_be(tmp_path):
    write_run(tmp_path / "A" / "rnn_cnn1d_video", **PUBLISHED)
    write_run(tmp_path / "B" / "rnn_cnn1d_video", **PUBLISHED)
    notes = " ".join(layout(tmp_path, "stl_vs_theme").notes)
    assert "release that masks channels" in notes
    again = "Further runs with the same settings, not shown here: B/rnn_cnn1d_video."
    assert again in notes and "otherwise" not in notes


def test_a_run_that_did_not_know_a_setting_used_its_default(tmp_path):
    folder = write_run(tmp_path / "STL" / f"{POOL}_video", **PUBLISHED)
    for record in folder.glob("try_*/run.json"):
        settings = json.loads(record.read_text())["settings"]
        del settings["cnn1d_masking"]
        change(record, settings=settings)
    assert rows_of(layout(tmp_path, "stl_vs_theme"), "b MP")["ours"][0].value


def test_layouts_are_those_promised():
    assert set(LAYOUTS) == {
        "hierart_comparison",
        "weights",
        "video",
        "margins",
        "stl_vs_theme",
    }
    assert "ICMR 2025" in load_published().source


def test_a_run_without_a_finished_try_is_shown_as_such(tmp_path):
    write_run(tmp_path / "A" / "rnn_rnn")
    folder = write_run(tmp_path / "B" / "rnn_rnn")
    for attempt in folder.glob("try_*"):
        (attempt / "test_metrics.json").unlink()
    runs = find_runs([tmp_path], lambda line: None)
    table = all_runs(runs[0].data, runs, {}, "runs")
    assert table.label_heads == ("experiment", "strategy", "tries", "date")
    assert [row.labels[2] for row in table.rows] == ["2", "0 of 2"]
    today = datetime.datetime.now(datetime.UTC).date()
    days = {(today - datetime.timedelta(ago)).isoformat() for ago in (0, 1)}
    assert {row.labels[3] for row in table.rows} <= days
    assert {cell.number for cell in table.rows[1].cells} == {"–"}
    assert "B/rnn_rnn: 0 of 2 tries; try 1 unfinished" in table.notes[1]


def test_mixed_metrics_stay_out_of_the_mean(tmp_path):
    folder = write_run(tmp_path / "A" / "rnn_rnn")
    change(folder / "try_2" / "test_metrics.json", metrics={"t2s_R@1": 50.0})
    (run,) = find_runs([tmp_path], lambda line: None)
    cells = all_runs(run.data, [run], {}, "runs").rows[0].cells
    assert cells[0].value is not None and cells[4].value is None


TABLE = Table(
    name="t",
    title="50 % & more",
    label_heads=("who",),
    columns=(("g", "x"), ("g", "y"), ("", "z")),
    rows=(
        Row(("a_1",), (Cell(1.25, 0.5, "best"), Cell(-2.0), Cell(text="<none>"))),
        Row(("b|2",), (Cell(1.0, None, "level"), Cell(), Cell(3, signed=True)), True),
    ),
    notes=("A ± note_1.",),
)


def test_markdown():
    assert markdown(TABLE).splitlines() == [
        "## 50 % & more",
        "",
        "| who | g: x | g: y | z |",
        "|---|---:|---:|---:|",
        r"| a_1 | **1.25 ± 0.50** | −2.00 | \<none> |",
        r"| b\|2 | 1.00 ≈ | – | +3.00 |",
        "",
        "A ± note_1.",
    ]


def test_latex():
    text = latex(TABLE)
    assert r"\caption{50 \% \& more}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r" & \multicolumn{2}{c}{g} & \multicolumn{1}{c}{} \\" in text
    assert r"\cmidrule(lr){2-3}" in text and "{4-4}" not in text
    assert r"a\_1 & \textbf{1.25 $\pm$ 0.50} & $-$2.00 & $<$none$>$ \\" in text
    assert r"b|2 & 1.00\,$\approx$ & -- & +3.00 \\" in text
    assert text.count("{") == text.count("}")
    assert r"\par\footnotesize A $\pm$ note\_1." in text


def test_markdown_shows_names_as_they_are():
    assert literal("a_1 *b* <i> [c]") == r"a_1 \*b\* \<i> \[c\]"
    assert literal("_a_ w_0.05_m") == r"\_a\_ w_0.05_m"


def test_latex_tables_longer_than_a_page_are_continued():
    groups = [
        [Row((f"{g}.{i}",), (Cell(1),) * 3, i == 0) for i in range(3)]
        for g in range(30)
    ]
    rows = tuple(row for group in groups for row in group)
    parts = latex(dataclasses.replace(TABLE, rows=rows)).split(r"\end{table*}")[:-1]
    assert len(parts) == 3
    for g in range(30):
        # Each group once, and whole.
        (holding,) = (part for part in parts if f"\n{g}.0 & " in part)
        assert all(f"\n{g}.{i} & " in holding for i in (1, 2))
    assert [r"\label{tab:t}" in part for part in parts] == [True, False, False]
    assert [r"(continued)" in part for part in parts] == [False, True, True]
    assert [r"note\_1" in part for part in parts] == [False, False, True]
    long = tuple(dataclasses.replace(row, first=False) for row in rows)
    text = latex(dataclasses.replace(TABLE, rows=long))
    assert text.count(r"\begin{tabular}") == 3 and text.count(r" \\") == 90 + 2 * 3


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX is installed")
@pytest.mark.slow
def test_latex_compiles(tmp_path):
    rows = TABLE.rows * 50
    title = "All \\ of: & % $ # _ { } ~ ^ − – ± ≈ ≥ < >"
    table = dataclasses.replace(TABLE, rows=rows, title=title)
    (tmp_path / "t.tex").write_text(latex(table))
    (tmp_path / "all.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}"
        r"\begin{document}\input{t}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "too large" not in done.stdout and "Overfull" not in done.stdout


def test_csv():
    rows = list(csv.reader(io.StringIO(comma_separated(TABLE))))
    assert rows == [
        ["who", "g: x mean", "g: x std", "g: y", "z"],
        ["a_1", "1.25", "0.5", "-2", "<none>"],
        ["b|2", "1", "", "", "3"],
    ]


def test_labels_that_are_long_are_set_in_lines_in_latex():
    row = Row(("x " * 40,), TABLE.rows[0].cells)
    text = latex(dataclasses.replace(TABLE, rows=(row,)))
    assert r"\begin{tabular}{p{0.3\textwidth}rrr}" in text


def a_report(tables, drawings=(), problems=()) -> Report:
    day = datetime.date(2026, 1, 2)
    return Report([], tables, [], drawings, problems, day)


def test_page(tmp_path):
    (tmp_path / "f.png").write_bytes(b"picture")
    drawing: Any = SimpleNamespace(name="f", title="F", caption="what <it> shows")
    text = html_report(a_report([TABLE], [drawing], ["p & q"]), tmp_path)
    assert "<title>Report on 0 runs</title>" in text and "<li>p &amp; q</li>" in text
    assert "Made on 2026-01-02 by hm3_jax " in text
    assert "<strong>1.25</strong> <span" in text and "&lt;none&gt;" in text
    assert "1.00 ≈" in text and "what &lt;it&gt; shows" in text
    assert "data:image/png;base64,cGljdHVyZQ==" in text
    # The list of contents leads to every part, and nothing is loaded from elsewhere.
    assert re.findall(r'href="(.*?)"', text) == ["#t", "#f"]
    assert 'id="t"' in text and 'id="f"' in text and "http" not in text
    # Names of runs are long, and may break where their parts end.
    long = dataclasses.replace(TABLE, rows=(Row(("A_1/hier_by_room<n",), ()),))
    text = html_report(a_report([long]), tmp_path)
    assert "A_<wbr>1/<wbr>hier_<wbr>by_<wbr>room&lt;n</td>" in text


def test_markdown_report():
    text = markdown_report(a_report([TABLE], problems=["a_b *"]), "figures")
    lines = text.split("\n")
    assert lines[:2] == ["# Report on 0 runs", ""]
    assert r"* a_b \*" in lines and "* 50 % & more" in lines
    assert markdown(TABLE) in text
