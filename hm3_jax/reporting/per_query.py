"""One row for each query: its rank, its scores, and what was found first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.errors import naming
from hm3_jax.files.extras import how_to_install
from hm3_jax.objective.metric_table import DIRECTIONS, METRICS

Column = Sequence[Any] | np.ndarray

FORMATS = ("csv", "parquet")
"""How queries can be written."""

# Whether the own item is in the first k is said by its rank.
_SCORES = tuple(
    metric.name for metric in METRICS if metric.unit == "%" and metric.graded
)


def check_formats(formats: Sequence[str]) -> None:
    """Refuses what cannot be written, before anything is computed.

    Raises:
        ValueError: a format is unknown.
        ModuleNotFoundError: parquet is wanted and pyarrow is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(
                f"queries are written as {' or '.join(FORMATS)}, found {name!r}"
            )
    if "parquet" in formats:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                f"parquet needs pyarrow: {how_to_install('analysis')}, or take csv"
            ) from None


def query_columns(
    ids: Sequence[str],
    themes: Int[np.ndarray, " n"],
    names: Sequence[str],
    scores: Mapping[str, Float[np.ndarray, " n"]],
    first: Mapping[str, Int[np.ndarray, "n first"]],
) -> dict[str, Column]:
    """The table of all queries, descriptions before museums.

    Args:
        ids: of the museums.
        themes: of the museums, numbers of `names`.
        names: of the themes.
        scores: of every query, in percent, see `score_queries`; by theme both ways.
        first: for each direction what every query found first, best first.

    Returns:
        Columns by name, all of length 2n: `direction`, `id`, `theme`, `rank` of the own
        item from 1, scores under the published keys, and `top_1`, `top_2`, ... the ids
        of the first items.
    """
    known = np.array(ids, object)
    columns: dict[str, Column] = {
        "direction": [name for name in DIRECTIONS for _ in ids],
        "id": [*ids] * 2,
        "theme": [names[theme] for theme in themes] * 2,
        "rank": _joined(scores, "mean_rank").astype(np.int64),
    }
    for key in _SCORES:
        columns[key] = _joined(scores, key)
    found = np.concatenate([first[direction] for direction in DIRECTIONS])
    for place, items in enumerate(found.T, 1):
        columns[f"top_{place}"] = known[items].tolist()
    return columns


def write_queries(
    folder: Path, columns: Mapping[str, Column], formats: Sequence[str]
) -> None:
    """Writes `queries.csv`, `queries.parquet` or both."""
    if "csv" in formats:
        rows = zip(*columns.values(), strict=True)
        write_csv(folder / "queries.csv", [columns, *rows])
    if "parquet" in formats:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table(dict(columns))
        path = folder / "queries.parquet"
        with naming(path):
            pyarrow.parquet.write_table(table, path)


def _joined(scores: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    return np.concatenate([scores[f"{direction}_{key}"] for direction in DIRECTIONS])
