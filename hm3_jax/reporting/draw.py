"""All figures of a report."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from hm3_jax.reporting.figures.confusion import draw_confusion
from hm3_jax.reporting.figures.curves import draw_curves
from hm3_jax.reporting.figures.density import draw_density
from hm3_jax.reporting.figures.maps import (
    Map,
    draw_map,
    project_pca,
    project_tsne,
    sample,
)
from hm3_jax.reporting.figures.strips import draw_strips
from hm3_jax.reporting.figures.style import Drawing, short_names
from hm3_jax.reporting.figures.trade_off import draw_trade_off, strategy_label
from hm3_jax.reporting.processes import cores, processes
from hm3_jax.reporting.query_scores import Ranking
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.release_output import EmbeddedTest, TestedRun

_SIDE_BY_SIDE = 2
_MANY = 1_000  # museums on maps from which on t-SNE takes longer than to start for it
_FEWEST = 3  # test museums of which a map, quartiles or a density mean anything


def draw_all(
    groups: Mapping[DataSet, Sequence[Run]],
    shown: Sequence[Run],
    tests: Mapping[Run, TestedRun],
    stem: Callable[[str, DataSet], str],
    say: Callable[[str], None],
) -> Iterator[Drawing]:
    """Draws the figures of all runs, and of those shown, one after the other.

    The slowest part of a report, t-SNE, goes on while what was drawn is written.

    Args:
        groups: runs with a finished try, by data set.
        shown: of one data set; the first two are drawn side by side.
        tests: of runs whose tests could be read; those shown with embeddings.
        stem: file stem of a figure of a data set.
        say: told what is not drawn, and why.
    """
    labels = [strategy_label(run) for run in shown]
    names = dict(zip(shown, short_names(shown, labels), strict=True))
    usable = _usable(names, tests, say)
    pair = dict(itertools.islice(usable.items(), _SIDE_BY_SIDE))
    embedded = {run: e for run in usable if (e := tests[run].embedded) is not None}
    mapped = _mapped(usable, embedded, say)
    chosen = {run: sample(len(tests[run].ids)) for run in mapped}
    points = {run: (embedded[run].ranking, chosen[run]) for run in mapped}
    with _projected(points) as tsne:
        for data, runs in groups.items():
            drawing = draw_trade_off(data, runs, stem("trade_off", data))
            if drawing is not None:
                yield drawing
        curves = draw_curves(names, say, "training_curves")
        if curves is not None:
            yield curves
        if not usable:
            return
        if tests[next(iter(usable))].shares_themes:
            yield draw_strips(usable, tests, embedded, "ranking_strips")
            yield draw_density(usable, tests, "density")
            yield draw_confusion(pair, tests, embedded, "theme_confusion")
        else:
            say(
                "no ranking strips, density and confusion of themes: every test museum "
                "has its own theme"
            )
        if not mapped:
            return
        pca = {run: project_pca(*of_run)[0] for run, of_run in points.items()}
        yield draw_map("PCA", mapped, tests, embedded, pca, "map_pca")
        yield draw_map("t-SNE", mapped, tests, embedded, tsne(), "map_tsne")


def _mapped(
    usable: Mapping[Run, str],
    embedded: Mapping[Run, EmbeddedTest],
    say: Callable[[str], None],
) -> dict[Run, str]:
    """The first runs with one vector per museum: no others have a place on a map."""
    of_one = {
        run: name
        for run, name in usable.items()
        if embedded[run].ranking.queries.shape[1]
    }
    for run in usable:
        if run not in of_one:
            say(f"{run.name}: not on the maps: it has many vectors per museum")
    return dict(itertools.islice(of_one.items(), _SIDE_BY_SIDE))


@contextlib.contextmanager
def _projected(
    points: Mapping[Run, tuple[Ranking, np.ndarray]],
) -> Iterator[Callable[[], dict[Run, Map]]]:
    """Maps by t-SNE, waited for when they are called for.

    In processes of their own if they take long: threads would wait for that which
    draws, which holds Python's lock.
    """
    if sum(len(museums) for _, museums in points.values()) < _MANY:
        yield lambda: {run: project_tsne(*of_run) for run, of_run in points.items()}
        return
    with processes(min(len(points), max(1, cores() - 1))) as submit:
        futures = {run: submit(project_tsne, *of) for run, of in points.items()}
        yield lambda: {run: future.result() for run, future in futures.items()}


def _usable(
    names: Mapping[Run, str], tests: Mapping[Run, TestedRun], say: Callable[[str], None]
) -> dict[Run, str]:
    """Runs whose tests can be drawn beside one another; none if there is no test."""
    read = [run for run in names if run in tests]
    if not read:
        say("no figures of embeddings: the tests of the runs to show cannot be read")
        return {}
    ids = tests[read[0]].ids
    if len(ids) < _FEWEST:
        say(f"no figures of embeddings: fewer than {_FEWEST} test museums")
        return {}
    for run in read:
        if tests[run].ids != ids:
            say(f"{run.name}: not drawn beside {read[0].name}: other test museums")
    return {run: names[run] for run in read if tests[run].ids == ids}
