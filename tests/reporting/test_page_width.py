"""The HTML page in a real browser: nothing on it is wider than the window."""

import datetime
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from hm3_jax.reporting.layouts import layout_table
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.render import html_report
from hm3_jax.reporting.run_tables import all_runs, settings_table, significance_table
from hm3_jax.reporting.significance import Comparison, Interval
from hm3_jax.reporting.tables import Report
from tests.reporting.run_folders import published, theme_settings, write_run
from tests.retrieval.browsing import chromium, find_chromium

pytestmark = [
    pytest.mark.skipif(
        find_chromium() is None,
        reason="takes Chromium: apt-get install chromium, or its program in CHROMIUM",
    ),
    # The browser's process closes its pipes when it is collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

STRATEGY = "hier_by_room_rnn_meanPoolProc"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [1200])
def test_no_table_needs_sideways_scrolling(browser, tmp_path, width):
    """The widest tables there are: all weights, and long names that a sweep makes."""
    for weight in (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75):
        options = published(**theme_settings(weight))
        write_run(tmp_path / f"w{weight}" / f"{STRATEGY}_video", **options)
    settings = theme_settings(0.3) | {"lr": 0.002}
    name = "sweep_second_loss_component_weight=0.3,loss_within_category_margin=0.15"
    write_run(tmp_path / name / f"{STRATEGY}_cnn1d_video", settings=settings)
    runs = find_runs([tmp_path], pytest.fail)
    data = runs[0].data
    interval = Interval(-10.123, -20.123, -1.123, 0.0123)
    compared = [
        Comparison(runs[0].name, run.name, "t2s_mAP_by_class", interval, interval)
        for run in runs[1:]
    ]
    tables = [
        layout_table("weights", data, runs, {}, "weights"),
        all_runs(data, runs, {}, "runs"),
        settings_table(data, runs, "settings"),
        significance_table(compared, "differences", "Differences"),
    ]
    report = Report(
        runs, [t for t in tables if t], [], [], [], datetime.date(2026, 1, 2)
    )
    (tmp_path / "page.html").write_text(html_report(report, tmp_path))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto((tmp_path / "page.html").as_uri())
    wider = page.evaluate(
        "[...document.querySelectorAll('.scroll'), document.documentElement]"
        ".map(box => box.scrollWidth - box.clientWidth)"
    )
    page.close()
    assert len(wider) == 5 and max(wider) <= 0, wider
