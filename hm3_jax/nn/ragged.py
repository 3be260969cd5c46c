"""Sets and sequences of different sizes, stored without padding.

A batch never holds a padded axis of items: the rows of all its sets lie one after
another in one array. Only the *capacity* (the static number of rows) is padded, at the
end, and those rows belong to no set.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ragged:
    """Rows of consecutive sets.

    Attributes:
        values: float (capacity, d); set i owns `lengths[i]` rows, right after those of
            set i - 1. Rows past the last set may hold anything, NaN included.
        lengths: int32 (sets,); may contain zeros. Their sum is at most the capacity.
    """

    values: Float[Array, "capacity d"]
    lengths: Int[Array, " sets"]

    @property
    def starts(self) -> Int[Array, " sets"]:
        """First row of each set."""
        return jnp.cumsum(self.lengths) - self.lengths

    def rows(self) -> tuple[Float[Array, "capacity d"], Int[Array, " capacity"]]:
        """The rows and the set of each, as encoders take them.

        Rows that belong to no set are zeroed here, once: masking what comes out of a
        layer would stop NaN in its result but not in its gradient, where 0 * NaN = NaN.

        Returns:
            values (capacity, d) and `row_owner` of the lengths.
        """
        owner = row_owner(self.lengths, self.values.shape[0])
        owned = (owner < self.lengths.shape[0])[:, None]
        return jnp.where(owned, self.values, 0), owner


def row_owner(lengths: Int[Array, " sets"], capacity: int) -> Int[Array, " capacity"]:
    """Set that each of `capacity` consecutive rows belongs to.

    Args:
        lengths: rows of each set, int32 (sets,).
        capacity: number of rows to answer for, static.

    Returns:
        int32 (capacity,), ascending; `sets` for rows past the last set.
    """
    ends = jnp.cumsum(lengths)
    rows = jnp.arange(capacity, dtype=ends.dtype)
    return jnp.searchsorted(ends, rows, side="right").astype(jnp.int32)


def take_sets(
    offsets: Int[Array, " all_sets_plus_1"],
    sets: Int[Array, " sets"],
    present: Bool[Array, " sets"],
    capacity: int,
    spans: Int[Array, "sets 2"] | None = None,
) -> tuple[Int[Array, " capacity"], Int[Array, " sets"]]:
    """Row numbers of chosen sets of a large ragged column, or of parts of them.

    Args:
        offsets: rows `offsets[i]:offsets[i + 1]` of the column belong to its set i.
        sets: chosen sets, int32; any value where `present` is False.
        present: False for places of the batch that are not filled.
        capacity: static number of rows to return.
        spans: of each chosen set its first row that is wanted and how many; all rows
            where the first is negative, or everywhere without it.

    Returns:
        The rows of the column, set after set, int32 (capacity,), 0 past the last one;
        and the number of these of each chosen set, int32 (sets,), 0 where not present.
    """
    chosen = jnp.where(present, sets, 0)
    starts, lengths = offsets[chosen], offsets[chosen + 1] - offsets[chosen]
    if spans is not None:
        first, count = spans[:, 0], spans[:, 1]
        starts = starts + jnp.maximum(first, 0)
        lengths = jnp.where(first < 0, lengths, count)
    lengths = jnp.where(present, lengths, 0)
    shift = starts - (jnp.cumsum(lengths) - lengths)
    owner = row_owner(lengths, capacity)
    filled = owner < sets.shape[0]
    rows = jnp.arange(capacity, dtype=jnp.int32)
    rows = rows + shift[jnp.minimum(owner, sets.shape[0] - 1)]
    return jnp.where(filled, rows, 0), lengths


def set_mean(
    rows: Float[Array, "capacity d"],
    membership: Int[Array, " capacity"],
    lengths: Int[Array, " sets"],
    empty: Float[Array, " d"],
) -> Float[Array, "sets d"]:
    """Mean of the rows of each set; `empty` for sets without rows.

    Args:
        rows: finite; those of no set do not count.
        membership: as `row_owner` gives it.
        lengths: rows of each set.
        empty: what an empty set counts as.
    """
    total = jax.ops.segment_sum(
        rows, membership, num_segments=lengths.shape[0], indices_are_sorted=True
    )
    mean = total / jnp.maximum(lengths, 1).astype(rows.dtype)[:, None]
    return jnp.where((lengths > 0)[:, None], mean, empty)


def merge_sets(
    lengths: Int[Array, " sets"], groups: Int[Array, " groups"]
) -> Int[Array, " groups"]:
    """Row counts after joining neighbouring sets into groups.

    Args:
        lengths: rows of each set, int32 (sets,).
        groups: how many consecutive sets each group joins, int32 (groups,). Sets past
            the last group are left out.

    Returns:
        Rows of each group, int32 (groups,).
    """
    owner = row_owner(groups, lengths.shape[0])
    return jax.ops.segment_sum(
        lengths, owner, num_segments=groups.shape[0], indices_are_sorted=True
    )
