"""Which runs differ by more than chance, on the same test queries."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.objective.metric_table import BY_KEY
from hm3_jax.reporting.bootstrap import Interval, over_queries, over_tries
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import TestedRun


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs in one metric.

    Attributes:
        a: name of a run.
        b: name of the run it is compared with.
        metric: published key.
        queries: A minus B, over queries.
        tries: A minus B, over tries; None where a run has fewer than two.
    """

    a: str
    b: str
    metric: str
    queries: Interval
    tries: Interval | None


def compare(
    pairs: Sequence[tuple[Run, Run]],
    tests: Mapping[Run, TestedRun],
    metrics: Sequence[str],
) -> list[Comparison]:
    """Paired bootstrap of runs on the same test museums.

    Args:
        pairs: runs (A, B).
        tests: of all runs.
        metrics: published keys; those that are no mean over queries are left out.

    Raises:
        ValueError: two runs were tested on different museums; both are named.
    """
    wanted = [
        (a, b, metric)
        for a, b in pairs
        for metric in metrics
        if BY_KEY[metric].is_a_mean
        and metric in tests[a].scores
        and metric in tests[b].scores
    ]
    # One call for all pairs that share their number of queries.
    by_size: dict[int, list[int]] = {}
    for number, (a, _, _) in enumerate(wanted):
        by_size.setdefault(len(tests[a].ids), []).append(number)
    found: dict[int, Interval] = {}
    for numbers in by_size.values():
        columns = [_differences(*wanted[number], tests) for number in numbers]
        intervals = over_queries(np.stack(columns, axis=1))
        found |= dict(zip(numbers, intervals, strict=True))
    return [
        Comparison(a.name, b.name, metric, found[number], _of_tries(a, b, metric))
        for number, (a, b, metric) in enumerate(wanted)
    ]


def best_of(runs: Sequence[Run], metric: str) -> Run | None:
    """The run with the best mean; None where no run has the metric."""
    sign = -1 if BY_KEY[metric].lower_is_better else 1
    means = {run: run.mean(metric) for run in runs}
    scored = {run: sign * mean for run, mean in means.items() if mean is not None}
    return max(scored, key=scored.__getitem__) if scored else None


def level_with_best(
    runs: Sequence[Run], tests: Mapping[Run, TestedRun], metric: str
) -> set[Run]:
    """Runs whose difference to the best is not significant over queries."""
    best = best_of(runs, metric)
    if best is None or best not in tests:
        return set()
    others = [
        run
        for run in runs
        if run is not best and run in tests and same_museums(tests[run], tests[best])
    ]
    found = compare([(run, best) for run in others], tests, [metric])
    by_name = {run.name: run for run in others}
    return {by_name[c.a] for c in found if not c.queries.significant}


def same_museums(a: TestedRun, b: TestedRun) -> bool:
    """Whether two tests have the same museums, in whatever order, and themes."""
    return _order(a, b) is not None


def _order(a: TestedRun, b: TestedRun) -> Int[np.ndarray, " queries"] | None:
    """Where the museums of `a` are in `b`; None if they are not the same."""
    if a.ids == b.ids:
        order = np.arange(len(a.ids))
    else:
        place = {museum: number for number, museum in enumerate(b.ids)}
        if len(a.ids) != len(b.ids) or any(museum not in place for museum in a.ids):
            return None
        order = np.array([place[museum] for museum in a.ids])
    same = a.theme_names == b.theme_names and np.array_equal(a.themes, b.themes[order])
    return order if same else None


def _differences(
    a: Run, b: Run, metric: str, tests: Mapping[Run, TestedRun]
) -> Float[np.ndarray, " queries"]:
    order = _order(tests[a], tests[b])
    if order is None:
        raise ValueError(
            f"{a} and {b}: expected tests on the same museums with the same themes, "
            f"found {len(tests[a].ids)} of {a.data} and {len(tests[b].ids)} of "
            f"{b.data} that differ"
        )
    of_a, of_b = (
        tests[run].scores[metric].mean(axis=0, dtype=np.float64) for run in (a, b)
    )
    return of_a - of_b[order]


def _of_tries(a: Run, b: Run, metric: str) -> Interval | None:
    of_a, of_b = a.values(metric), b.values(metric)
    if of_a is None or of_b is None:
        return None
    # Tries of one number and seed see the same batches in the same order.
    paired = [t.number for t in a.tries] == [
        t.number for t in b.tries
    ] and a.settings.get("seed") == b.settings.get("seed")
    return over_tries(np.array(of_a), np.array(of_b), paired=paired)
