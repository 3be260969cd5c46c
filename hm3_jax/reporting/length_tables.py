"""Models by the number of sentences of their queries: curves, and a table of them."""

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from hm3_jax.files.left_behind import is_left_behind
from hm3_jax.files.run_format import BY_LENGTH, WHOLE_QUERY, LengthFacts
from hm3_jax.objective.metric_table import BY_KEY, label_of
from hm3_jax.reporting.by_length import order_of, read_by_length
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.run_tables import SHOWN
from hm3_jax.reporting.tables import Cell, Mark, Row, Table

# Of the path of a checkpoint, what a table has room for.
_PARTS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Searched:
    """On which museums queries of some sentences were tested, and which queries.

    Attributes:
        data: data set.
        split: of it.
        query_seed: of where the sentences begin.
    """

    data: DataSet
    split: str
    query_seed: int

    @classmethod
    def of(cls, facts: LengthFacts) -> "Searched":
        """That of a file."""
        data = DataSet(facts.dataset_name, facts.dataset_kind, facts.features_checksum)
        return cls(data, facts.split, facts.query_seed)

    def __str__(self) -> str:
        """Split and data set, and the seed where it is not that of training."""
        seed = f", query seed {self.query_seed}" if self.query_seed else ""
        return f"{self.split} of {self.data}{seed}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a model reaches at each number of sentences.

    Attributes:
        name: of the model.
        run: whose tries these are; None of an evaluated checkpoint.
        tries: metrics by number of sentences.
    """

    name: str
    run: Run | None
    tries: Sequence[Mapping[str, Mapping[str, float]]]

    def values(self, length: str, metric: str) -> list[float]:
        """A metric of every try that has it at this length."""
        return [t[length][metric] for t in self.tries if metric in t.get(length, {})]

    def mean(self, length: str, metric: str) -> float | None:
        """Mean over tries; None where no try has it."""
        values = self.values(length, metric)
        return statistics.fmean(values) if values else None

    def deviation(self, length: str, metric: str) -> float | None:
        """Standard deviation over tries (n - 1); None of fewer than two."""
        values = self.values(length, metric)
        return statistics.stdev(values) if len(values) > 1 else None


def lengths_of(curves: Sequence[Curve]) -> list[str]:
    """All numbers of sentences, in order, whole descriptions last."""
    found = {length for curve in curves for of_try in curve.tries for length in of_try}
    return sorted(found, key=order_of)


def curves_of(
    runs: Sequence[Run], evaluations: Sequence[Path], say: Callable[[str], None]
) -> dict[Searched, list[Curve]]:
    """What runs and evaluations have of it, by what can be compared.

    Args:
        runs: with a finished try; older ones have none of it.
        evaluations: folders that hold those that `evaluate` has written.
        say: told what cannot be read.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a folder has none of it.
    """
    found: dict[Searched, list[Curve]] = {}
    for run in runs:
        of_tries: dict[Searched, list[LengthFacts]] = {}
        for attempt in run.tries:
            if attempt.by_length is not None:
                searched = dataclasses.replace(
                    Searched.of(attempt.by_length), data=run.data
                )
                of_tries.setdefault(searched, []).append(attempt.by_length)
        for searched, facts in of_tries.items():
            curve = Curve(run.name, run, [of_try.lengths for of_try in facts])
            found.setdefault(searched, []).append(curve)
    for folder in evaluations:
        for facts in _evaluated(folder, say):
            name = "/".join(PurePath(facts.model).parts[-_PARTS:])
            curve = Curve(name, None, [facts.lengths])
            found.setdefault(Searched.of(facts), []).append(curve)
    return found


def _evaluated(folder: Path, say: Callable[[str], None]) -> list[LengthFacts]:
    if not folder.is_dir():
        what = "a file" if folder.exists() else "none"
        raise FileNotFoundError(f"{folder}: expected an evaluation, found {what}")
    paths = []
    for here, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not is_left_behind(name))
        paths += [Path(here, BY_LENGTH)] if BY_LENGTH in files else []
    if not paths:
        raise ValueError(
            f"{folder}: expected {BY_LENGTH} (evaluate --query_sentences), found none"
        )
    found = []
    for path in paths:
        try:
            found.append(read_by_length(path))
        except ValueError as error:
            say(f"{error}; not reported")
    return found


def length_table(searched: Searched, curves: Sequence[Curve], name: str) -> Table:
    """Models by number of sentences, the best of each number marked."""
    metrics = [key for key in SHOWN if key.startswith("t2s_")]
    rows = []
    for length in lengths_of(curves):
        there = [c for c in curves if any(length in of_try for of_try in c.tries)]
        columns = [_column(there, length, metric) for metric in metrics]
        rows += [
            Row(
                (length, curve.name),
                tuple(column[curve] for column in columns),
                first=bool(rows) and curve is there[0],
            )
            for curve in there
        ]
    return Table(
        name=name,
        title=f"By sentences of the query, {searched}",
        label_heads=("sentences", "model"),
        columns=tuple(("", label_of(metric)) for metric in metrics),
        rows=tuple(rows),
        notes=(
            "Queries are this many consecutive sentences of each description, drawn "
            "once and the same for all models; shorter descriptions are used whole, as "
            f"all are in the rows {WHOLE_QUERY}. Mean ± standard deviation over tries; "
            "bold: the best of each number of sentences.",
        ),
    )


def _column(curves: Sequence[Curve], length: str, metric: str) -> dict[Curve, Cell]:
    means = {curve: curve.mean(length, metric) for curve in curves}
    known = [mean for mean in means.values() if mean is not None]
    choose = min if BY_KEY[metric].lower_is_better else max
    best = choose(known) if len(known) > 1 else None

    def mark(mean: float | None) -> Mark:
        return "best" if mean is not None and mean == best else ""

    return {
        curve: Cell(mean, curve.deviation(length, metric), mark(mean))
        for curve, mean in means.items()
    }
