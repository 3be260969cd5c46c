"""Mean and deviation of features, for models that standardise what they read."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.arrays import owned_rows
from hm3_jax.learn.batches.features import Features, RaggedColumn

# A feature that never changes says nothing, and is not to be divided by 0.
_LEAST_DEVIATION = 1e-6
# Rows of which it is assumed that they are as all others.
_PRIOR_ROWS = 32.0
# Rows that are read at a time.
_ROWS = 2**16


def standardising(
    features: Features, museums: Int[np.ndarray, " museums"]
) -> dict[str, dict[str, Float[np.ndarray, " d"]]]:
    """Mean and deviation of sentences and of items of each kind.

    Few rows say little of a mean: those of a kind are counted together with some rows
    as the items of all kinds are, and these, as sentences, with some of mean 0.

    Args:
        features: on the host.
        museums: that count, each item as often as it occurs in them.

    Returns:
        "sentences" and kinds -> "mean", "deviation", float32.
    """
    rooms = owned_rows(np.asarray(features.room_offsets, np.int64), museums)
    kinds = {kind: _sums(column, rooms) for kind, column in features.items.items()}
    every = functools.reduce(_Sums.__add__, kinds.values()).shrunk(None)
    found = {"sentences": _sums(features.sentences, museums).shrunk(None)}
    for kind, sums in kinds.items():
        found[kind] = sums.shrunk(every)
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


@dataclasses.dataclass(frozen=True)
class _Sums:
    """Number of rows, their sum and the sum of their squares, float64."""

    rows: int
    total: Float[np.ndarray, " d"]
    squares: Float[np.ndarray, " d"]

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.rows + other.rows,
            self.total + other.total,
            self.squares + other.squares,
        )

    def shrunk(
        self, towards: Mapping[str, np.ndarray] | None
    ) -> dict[str, Float[np.ndarray, " d"]]:
        """Mean and deviation, counted together with rows of another mean."""
        prior = np.zeros_like(self.total) if towards is None else towards["mean"]
        mean = (self.total + _PRIOR_ROWS * prior) / (self.rows + _PRIOR_ROWS)
        if self.rows == 0:
            deviation = np.ones_like(mean) if towards is None else towards["deviation"]
        else:
            variance = np.maximum(
                self.squares / self.rows - np.square(self.total / self.rows), 0
            )
            usual = variance.mean()
            if towards is not None:
                usual = np.square(towards["deviation"])
            variance = (self.rows * variance + _PRIOR_ROWS * usual) / (
                self.rows + _PRIOR_ROWS
            )
            deviation = np.sqrt(variance)
        return {
            "mean": mean.astype(np.float32),
            "deviation": np.where(deviation > _LEAST_DEVIATION, deviation, 1).astype(
                np.float32
            ),
        }


def _sums(column: RaggedColumn, sets: Int[np.ndarray, " sets"]) -> _Sums:
    rows = owned_rows(np.asarray(column.offsets, np.int64), sets)
    if column.index is not None:
        rows = np.asarray(column.index)[rows]
    # Every row is read once, however often it occurs.
    used, times = np.unique(rows, return_counts=True)
    total, squares = np.zeros((2, column.table.shape[1]))
    for first in range(0, len(used), _ROWS):
        part = slice(first, first + _ROWS)
        block = np.asarray(column.table[used[part]], np.float64)
        total += times[part] @ block
        squares += times[part] @ np.square(block)
    return _Sums(len(rows), total, squares)
