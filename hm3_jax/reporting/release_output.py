"""Reads what every try made of the test museums.

From `test_output.npz`, or from `test_output.json` alone, which earlier versions wrote
and the release has.
"""

import dataclasses
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float, Int

from hm3_jax.files.file_list import listed_damage
from hm3_jax.files.run_format import (
    TEST_ARRAYS,
    TEST_OUTPUT,
    embedding_names,
    scores_name,
)
from hm3_jax.objective.metric_table import DIRECTIONS
from hm3_jax.reporting.query_scores import Ranking, score_queries
from hm3_jax.reporting.read_tries import theme_names
from hm3_jax.reporting.records import Run

_EMBEDDINGS = ("output_description_test", "output_pov_test")
_SCORES = "scores"
# What damaged archives end in: numpy checks no more of them than it must.
_DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

# Percent by which a recorded metric may differ from that of the embeddings: equal
# similarities may round to different orders.
_TOLERANCE = 0.05


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EmbeddedTest:
    """Embeddings of one try, for figures.

    Attributes:
        number: of the try.
        ranking: descriptions as queries, museums as items; unit vectors.
    """

    number: int
    ranking: Ranking


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TestedRun:
    """The test of a run, query by query.

    Attributes:
        ids: of the test museums.
        themes: of the test museums, numbers into `theme_names`.
        theme_names: sorted.
        scores: of every query, by metric, float32 (tries, queries): `score_queries`.
        embedded: of the first try, where they were asked for.
    """

    ids: tuple[str, ...]
    themes: Int[np.ndarray, " queries"]
    theme_names: tuple[str, ...]
    scores: Mapping[str, Float[np.ndarray, "tries queries"]]
    embedded: EmbeddedTest | None

    @property
    def shares_themes(self) -> bool:
        """Whether any two museums have the same theme."""
        return len(self.theme_names) < len(self.ids)


def read_tested(run: Run, *, both_by_theme: bool, embeddings: bool) -> TestedRun:
    """Reads the test of a run's finished tries.

    Args:
        run: with at least one finished try.
        both_by_theme: scores by theme of s2t too; they take a sort.
        embeddings: keep those of the first try.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or does not belong to the run's tries.
    """
    path, entries = _load(run.folder)
    by_number = {
        entry["n_try"]: entry
        for entry in entries
        if isinstance(entry.get("n_try"), int)
    }
    if absent := [t.number for t in run.tries if t.number not in by_number]:
        raise ValueError(
            f"{path}: expected tries {[t.number for t in run.tries]}, found none of "
            f"{absent}"
        )
    ids, labels = _museums(by_number[run.tries[0].number], path)
    themes_of = np.array(_named(labels, run.folder, path))
    names, themes = np.unique(themes_of, return_inverse=True)
    scores: list[dict[str, np.ndarray]] = []
    kept = None
    for attempt in run.tries:
        entry = by_number[attempt.number]
        if _museums(entry, path) != (ids, labels):
            raise ValueError(
                f"{path}: expected the same museums in all tries, found others in try "
                f"{attempt.number}"
            )
        ranking = _ranking(entry, len(ids), path)
        wanted = DIRECTIONS if both_by_theme else ("t2s",)
        found = score_queries(ranking, themes, by_theme=wanted)
        _check_recorded(attempt.metrics, found, path, attempt.number)
        scores.append(found)
        if embeddings and kept is None:
            kept = EmbeddedTest(attempt.number, ranking)
    return TestedRun(
        ids=ids,
        themes=themes,
        theme_names=tuple(map(str, names)),
        scores={key: np.stack([s[key] for s in scores]) for key in scores[0]},
        embedded=kept,
    )


def _load(folder: Path) -> tuple[Path, list[Mapping[str, Any]]]:
    """The file that is read, and an object per try, under the published keys."""
    path = folder / TEST_ARRAYS
    if not path.exists():
        path = folder / TEST_OUTPUT
    if edited := listed_damage(folder, (path.name,)):
        raise ValueError(edited)
    try:
        if path.name == TEST_OUTPUT:
            entries = orjson.loads(path.read_bytes())
            if not isinstance(entries, list) or not all(
                isinstance(entry, dict) for entry in entries
            ):
                raise ValueError("something else than a list of tries")
            return path, entries
        with path.open("rb") as file, np.load(file) as arrays:
            return path, _entries(arrays)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: expected the tries' tests, found none"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        said = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path}: expected the tries' tests, found {said[0]}"
        ) from None


def _entries(arrays: Mapping[str, np.ndarray]) -> list[Mapping[str, Any]]:
    ids, themes = arrays["ids"].tolist(), arrays["themes"].tolist()
    numbers = sorted(
        {int(match[1]) for name in arrays if (match := re.match(r"try_(\d+)_", name))}
    )
    return [
        {
            "n_try": number,
            "ids_list": ids,
            "output_categories": themes,
            **{
                key: arrays[name]
                for key, name in zip(_EMBEDDINGS, embedding_names(number), strict=True)
            },
            _SCORES: arrays[scores_name(number)]
            if scores_name(number) in arrays
            else None,
        }
        for number in numbers
    ]


def _museums(entry: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...], list[str]]:
    ids, labels = entry.get("ids_list"), entry.get("output_categories")
    if not isinstance(ids, list) or not isinstance(labels, list) or not ids:
        raise ValueError(
            f"{path}: expected ids_list and output_categories, found none or empty"
        )
    if len(ids) != len(labels) or len(set(map(str, ids))) != len(ids):
        raise ValueError(
            f"{path}: expected a theme for each of {len(ids)} different museums, found "
            f"{len(labels)} for {len(set(map(str, ids)))}"
        )
    return tuple(map(str, ids)), list(map(str, labels))


def _named(labels: Sequence[str], folder: Path, path: Path) -> Sequence[str]:
    """Names of the themes, of which the file has numbers, as the release's has.

    Without names beside it the numbers do for names; so do names, which files of
    earlier versions have.
    """
    names = theme_names(folder)
    if names is None:
        return labels
    for label in labels:
        if not label.isdecimal() or int(label) >= len(names):
            raise ValueError(
                f"{path}: expected output_categories to be numbers of the {len(names)} "
                f"themes that experiment.json lists, found {label}"
            )
    return [str(names[int(label)]) for label in labels]


def _ranking(entry: Mapping[str, Any], count: int, path: Path) -> Ranking:
    rows = []
    for key in _EMBEDDINGS:
        try:
            # What is too large for float32 becomes infinite.
            with np.errstate(over="ignore"):
                array = np.asarray(entry.get(key), np.float32)
        except (ValueError, TypeError):
            raise ValueError(f"{path}: {key}: expected rows of equal length") from None
        if array.ndim != 2 or len(array) != count or not np.isfinite(array).all():
            raise ValueError(
                f"{path}: {key}: expected finite embeddings of {count} museums, found "
                f"an array of shape {array.shape}"
            )
        rows.append(array)
    if rows[0].shape != rows[1].shape:
        raise ValueError(
            f"{path}: expected descriptions and museums of one size, found "
            f"{rows[0].shape} and {rows[1].shape}"
        )
    scores = entry.get(_SCORES)
    if scores is not None and not (
        scores.shape == (count, count) and np.isfinite(scores).all()
    ):
        raise ValueError(
            f"{path}: {_SCORES}: expected finite scores of all pairs of {count} "
            f"museums, found an array of shape {scores.shape}"
        )
    described, shown = rows
    return Ranking.of(described, shown, scores)


def _check_recorded(
    metrics: Mapping[str, float],
    scores: Mapping[str, Float[np.ndarray, " queries"]],
    path: Path,
    number: int,
) -> None:
    for key in ("t2s_mAP", "s2t_mAP", "t2s_mAP_by_class"):
        computed = float(np.mean(scores[key], dtype=np.float64))
        if key in metrics and abs(metrics[key] - computed) > _TOLERANCE:
            raise ValueError(
                f"{path}: expected {key} {metrics[key]:.2f} of try {number}, as its "
                f"test_metrics.json has it, found embeddings that give {computed:.2f}"
            )
