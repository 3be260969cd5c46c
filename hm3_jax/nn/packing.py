"""Layout of the steps of sequences of different lengths, without padding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

# Row counts of the loop bodies: all sequences, the longest 7/8 of them, ... More parts
# mean less padding and a longer compilation.
_PARTS = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packing:
    """How the steps of a batch of sequences are laid out, the longest sequence first.

    Under `vmap` over runs a packing is shared by all runs: it is made of the longest
    sequence of any run, the second longest of any run, and so on, so that loop bounds
    and offsets stay plain scalars.

    Attributes:
        lengths: int32 (sequences,), descending.
        max_length: static upper bound of `lengths`.
        capacity: static upper bound of the sum of `lengths`.
    """

    lengths: Int[Array | np.ndarray, " sequences"]
    max_length: int = dataclasses.field(metadata={"static": True})
    capacity: int = dataclasses.field(metadata={"static": True})

    @property
    def counts(self) -> Int[Array, " max_length"]:
        """Sequences that have a step t."""
        steps = jnp.arange(self.max_length, dtype=jnp.int32)
        return jnp.sum(self.lengths > steps[:, None], axis=1, dtype=jnp.int32)

    @property
    def starts(self) -> Int[Array, " max_length"]:
        """Packed row where step t begins."""
        counts = self.counts
        return jnp.cumsum(counts) - counts

    @property
    def rows(self) -> int:
        """Static number of packed rows.

        A loop body reads as many rows as any of its steps has, so up to one part of the
        sequences more than a step has, behind the last step too.
        """
        sequences = self.lengths.shape[0]
        return max(self.capacity + -(-sequences // self._parts), sequences)

    @property
    def _parts(self) -> int:
        return min(_PARTS, self.lengths.shape[0])

    def positions(self) -> tuple[Int[Array, " rows"], Int[Array, " rows"]]:
        """Step and sequence (by rank of length) of each packed row."""
        ends = jnp.cumsum(self.counts)
        rows = jnp.arange(self.rows, dtype=jnp.int32)
        step = jnp.searchsorted(ends, rows, side="right").astype(jnp.int32)
        inside = jnp.minimum(step, self.max_length - 1)
        return step, rows - (ends - self.counts)[inside]

    def loops(self) -> list[tuple[int, Int[Array, ""], Int[Array, ""]]]:
        """(static number of rows, first step, step after the last) of each loop."""
        sequences = self.lengths.shape[0]
        parts = self._parts
        sizes = [-(-sequences * (parts - i) // parts) for i in range(parts)]
        ends = [self.lengths[size] for size in sizes[1:]] + [self.lengths[0]]
        starts = [jnp.zeros((), jnp.int32), *ends[:-1]]
        return list(zip(sizes, starts, ends, strict=True))


def pack(lengths: Int[Array, " sequences"], max_length: int, capacity: int) -> Packing:
    """Layout of a batch of sequences.

    Args:
        lengths: of the sequences, in any order.
        max_length: static upper bound of the lengths.
        capacity: static upper bound of the sum of the lengths.
    """
    return Packing(jnp.sort(lengths, descending=True), max_length, capacity)
