"""Which runs figures show, and what names on the command line mean."""

import difflib
from collections.abc import Sequence

from hm3_jax.objective.metric_table import BY_KEY
from hm3_jax.reporting.records import Run

MOST_SHOWN = 6
"""Runs that a figure has room for."""


def find_runs_named(given: Sequence[str], runs: Sequence[Run], flag: str) -> list[Run]:
    """The runs that a flag names, with commas between them or in flags of their own.

    Names that sweeps make hold commas themselves: what stands between commas is put
    together again where that is the name of a run, the longest first.

    Args:
        given: values of the flag.
        runs: with a finished try.
        flag: for messages.

    Raises:
        ValueError: a part is in no run's name, a name means several runs, or a run is
            named twice.
    """
    found: list[Run] = []
    for text in given:
        parts = text.split(",")
        while parts:
            for count in range(len(parts), 0, -1):
                if matches := _named(",".join(parts[:count]), runs):
                    break
            else:
                count, matches = 1, []
            found.append(_only(",".join(parts[:count]), matches, runs, flag))
            parts = parts[count:]
    if len(set(found)) < len(found):
        raise ValueError(f"--{flag}: expected different runs, found one twice")
    return found


def _named(name: str, runs: Sequence[Run]) -> list[Run]:
    """Runs of a name, EXPERIMENT/STRATEGY with as many folders before it as needed."""
    wanted = name.strip().rstrip("/")
    return [run for run in runs if run.name == wanted] or [
        run for run in runs if f"{run.folder}/".endswith(f"/{wanted.lstrip('/')}/")
    ]


def _only(name: str, found: Sequence[Run], runs: Sequence[Run], flag: str) -> Run:
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"--{flag}: expected the name of one run, found {len(found)} for {name}: "
            + ", ".join(run.name for run in found)
        )
    names = [run.name for run in runs]
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
    raise ValueError(
        f"--{flag}: expected EXPERIMENT/STRATEGY of a run with a finished try, found "
        f"{name}; nearest: {', '.join(nearest)}"
    )


def choose_shown(runs: Sequence[Run]) -> list[Run]:
    """Runs to show where nothing is asked for.

    The first two are the pair of maps: of the strategy with the best mAP, the run with
    the best mAP, and that with the best mAP by theme. Its other runs follow, then other
    strategies'.

    Args:
        runs: of one data set, with a finished try.
    """
    best = _best(runs, "t2s_mAP")
    same = [run for run in runs if run.strategy == best.strategy]
    others = [run for run in same if run is not best] or [
        run for run in runs if run is not best
    ]
    pair = [best] + ([_best(others, "t2s_mAP_by_class")] if others else [])
    ordered = pair + [run for run in same if run not in pair]
    ordered += [run for run in runs if run not in ordered]
    wanted = same if len(same) > 1 else runs
    return [run for run in ordered if run in wanted or run in pair][:MOST_SHOWN]


def _best(runs: Sequence[Run], metric: str) -> Run:
    assert not BY_KEY[metric].lower_is_better

    def score(run: Run) -> float:
        mean = run.mean(metric)
        return float("-inf") if mean is None else mean

    return max(runs, key=score)
