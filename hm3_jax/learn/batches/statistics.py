"""Mean and deviation of features, for models that standardise what they read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.arrays import owned_rows
from hm3_jax.learn.batches.features import Features, RaggedColumn

# A feature that never changes says nothing, and is not to be divided by 0.
_LEAST_DEVIATION = 1e-6
# Rows that are read at a time.
_ROWS = 2**16


def standardising(
    features: Features, museums: Int[np.ndarray, " museums"]
) -> dict[str, dict[str, Float[np.ndarray, " d"]]]:
    """Mean and deviation of sentences and of items of each kind.

    Args:
        features: on the host.
        museums: that count, each item as often as it occurs in them.

    Returns:
        "sentences" and kinds -> "mean", "deviation", float32; 0 and 1 of a kind that
        these museums have nothing of.
    """
    rooms = owned_rows(np.asarray(features.room_offsets, np.int64), museums)
    found = {"sentences": _of_rows(features.sentences, museums)}
    for kind, column in features.items.items():
        found[kind] = _of_rows(column, rooms)
    return found


def with_statistics(
    params: Mapping[str, Any], statistics: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Parameters of late interaction that standardise by given statistics.

    Args:
        params: nested; arrays may have a leading axis of runs.
        statistics: as `standardising` gives them.
    """
    changed = {tower: dict(layers) for tower, layers in params.items()}
    for kind, values in statistics.items():
        tower = changed["text" if kind == "sentences" else "scene"]
        tower[kind] = {
            name: np.broadcast_to(value, tower[kind][name].shape).astype(np.float32)
            for name, value in values.items()
        }
    return changed


def _of_rows(
    column: RaggedColumn, sets: Int[np.ndarray, " sets"]
) -> dict[str, Float[np.ndarray, " d"]]:
    rows = owned_rows(np.asarray(column.offsets, np.int64), sets)
    if column.index is not None:
        rows = np.asarray(column.index)[rows]
    size = column.table.shape[1]
    if len(rows) == 0:
        return {
            "mean": np.zeros(size, np.float32),
            "deviation": np.ones(size, np.float32),
        }
    # Every row is read once, however often it occurs.
    used, times = np.unique(rows, return_counts=True)
    total, squares = np.zeros(size), np.zeros(size)
    for first in range(0, len(used), _ROWS):
        part = slice(first, first + _ROWS)
        block = np.asarray(column.table[used[part]], np.float64)
        total += times[part] @ block
        squares += times[part] @ np.square(block)
    mean = total / len(rows)
    variance = np.maximum(squares / len(rows) - np.square(mean), 0)
    deviation = np.sqrt(variance)
    # One item alone has no deviation; nor has a feature that is always the same.
    return {
        "mean": mean.astype(np.float32),
        "deviation": np.where(deviation > _LEAST_DEVIATION, deviation, 1).astype(
            np.float32
        ),
    }
