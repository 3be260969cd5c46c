"""All figures of a report."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from hm3_jax.reporting.figures.confusion import draw_confusion
from hm3_jax.reporting.figures.curves import draw_curves
from hm3_jax.reporting.figures.density import draw_density
from hm3_jax.reporting.figures.maps import (
    draw_map,
    project_pca,
    project_tsne,
    sample,
)
from hm3_jax.reporting.figures.strips import draw_strips
from hm3_jax.reporting.figures.style import Drawing, short_names
from hm3_jax.reporting.figures.trade_off import draw_trade_off, strategy_label
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.test_output import Tested

_SIDE_BY_SIDE = 2
_FEWEST = 3  # test museums of which a map, quartiles or a density mean anything


def draw_all(
    groups: Mapping[DataSet, Sequence[Run]],
    shown: Sequence[Run],
    tests: Mapping[Run, Tested],
    stem: Callable[[str, DataSet], str],
    say: Callable[[str], None],
) -> list[Drawing]:
    """Draws the figures of all runs, and of those shown.

    Args:
      groups: runs with a finished try, by data set.
      shown: of one data set; the first two are drawn side by side.
      tests: of runs whose tests could be read; those shown with embeddings.
      stem: file stem of a figure of a data set.
      say: told what is not drawn, and why.
    """
    drawings: list[Drawing | None] = []
    for data, runs in groups.items():
        drawings.append(draw_trade_off(data, runs, stem("trade_off", data)))
    labels = [strategy_label(run) for run in shown]
    names = dict(zip(shown, short_names(shown, labels), strict=True))
    drawings.append(draw_curves(names, say, "training_curves"))
    drawings += _of_tests(names, tests, say)
    return [drawing for drawing in drawings if drawing is not None]


def _of_tests(
    names: Mapping[Run, str],
    tests: Mapping[Run, Tested],
    say: Callable[[str], None],
) -> list[Drawing]:
    usable = [run for run in names if run in tests]
    same = [run for run in usable if tests[run].ids == tests[usable[0]].ids]
    for run in usable:
        if run not in same:
            say(f"{run.name}: not drawn beside {usable[0].name}: other test museums")
    if not same:
        say("no figures of embeddings: the tests of the runs to show cannot be read")
        return []
    if len(tests[same[0]].ids) < _FEWEST:
        say(f"no figures of embeddings: fewer than {_FEWEST} test museums")
        return []
    named = {run: names[run] for run in same}
    pair = {run: names[run] for run in same[:_SIDE_BY_SIDE]}
    embedded = {run: e for run in same if (e := tests[run].embedded) is not None}
    with ThreadPoolExecutor(len(pair)) as pool:
        # The slowest part of a report: it goes on while the others are drawn.
        tsne = {
            run: pool.submit(
                project_tsne, embedded[run].ranking, sample(len(tests[run].ids))
            )
            for run in pair
        }
        pca = {
            run: project_pca(embedded[run].ranking, sample(len(tests[run].ids)))[0]
            for run in pair
        }
        drawings = [draw_map("PCA", pair, tests, embedded, pca, "map_pca")]
        if tests[same[0]].shares_themes:
            drawings.append(draw_strips(named, tests, embedded, "ranking_strips"))
            drawings.append(draw_density(named, tests, "density"))
            drawings.append(draw_confusion(pair, tests, embedded, "theme_confusion"))
        else:
            say(
                "no ranking strips, density and confusion of themes: every test museum "
                "has a theme of its own"
            )
        maps = {run: future.result() for run, future in tsne.items()}
    return [draw_map("t-SNE", pair, tests, embedded, maps, "map_tsne"), *drawings]
