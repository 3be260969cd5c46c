"""Layout of the steps of sequences of different lengths, without padding."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

# Row counts of the loop bodies: all sequences, the longest 3/4 of them, ... More parts
# mean less padding and a longer compilation.
_PARTS = 4

UNROLLED: dict[str, int | None] = {"cpu": None}
"""Steps in a loop's body, by platform; None where loops have a dynamic length.

On a CPU a dynamic length saves the steps that a batch does not have. GPUs may ask the
host before every step of such a loop, so elsewhere lengths are static, one step a body,
until `launch/gpu_check.sh` has measured what is fastest there.
"""


@dataclasses.dataclass(frozen=True)
class StaticLoops:
    """Loops whose length is known when they are compiled.

    Attributes:
        ends: step after the last of each loop, as `Packing.loops` has them.
        unroll: steps in a body.
    """

    ends: tuple[int, ...]
    unroll: int


def planned_loops(
    lengths: Int[np.ndarray, "*batches sequences"],
) -> StaticLoops | None:
    """Loops that serve every one of some batches; None where the platform wants none.

    Args:
        lengths: of the sequences of each batch, descending.
    """
    unroll = UNROLLED.get(jax.default_backend(), 1)
    if unroll is None:
        return None
    sequences = lengths.shape[-1]
    longest = lengths.reshape(-1, sequences).max(axis=0)
    ends = (*longest[_sizes(sequences)[1:]].tolist(), int(longest[0]))
    return StaticLoops(ends, unroll)


def _sizes(sequences: int) -> list[int]:
    """Rows of each loop's body."""
    parts = min(_PARTS, sequences)
    return [-(-sequences * (parts - i) // parts) for i in range(parts)]


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
        static: loops of static length that reach as far as `lengths`; None for those
            that end with the longest sequence of the batch.
    """

    lengths: Int[Array | np.ndarray, " sequences"]
    max_length: int = dataclasses.field(metadata={"static": True})
    capacity: int = dataclasses.field(metadata={"static": True})
    static: StaticLoops | None = dataclasses.field(
        default=None, metadata={"static": True}
    )

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
        sequences more than a step has, behind the last step too; one of static length
        may read all sequences there, as other batches are longer.
        """
        sequences = self.lengths.shape[0]
        if self.static is not None:
            return self.capacity + sequences
        return max(self.capacity + _sizes(sequences)[-1], sequences)

    def positions(self) -> tuple[Int[Array, " rows"], Int[Array, " rows"]]:
        """Step and sequence (by rank of length) of each packed row."""
        ends = jnp.cumsum(self.counts)
        rows = jnp.arange(self.rows, dtype=jnp.int32)
        step = jnp.searchsorted(ends, rows, side="right").astype(jnp.int32)
        inside = jnp.minimum(step, self.max_length - 1)
        return step, rows - (ends - self.counts)[inside]

    def loops(self) -> list[tuple[int, Any, Any]]:
        """(static number of rows, first step, step after the last) of each loop.

        Steps are numbers where the loops are static, int32 scalars elsewhere.
        """
        sizes = _sizes(self.lengths.shape[0])
        if self.static is not None:
            ends = self.static.ends
            return list(zip(sizes, (0, *ends[:-1]), ends, strict=True))
        ends = [self.lengths[size] for size in sizes[1:]] + [self.lengths[0]]
        starts = [jnp.zeros((), jnp.int32), *ends[:-1]]
        return list(zip(sizes, starts, ends, strict=True))

    @property
    def unroll(self) -> int | None:
        """Steps in the body of a static loop; None where loops are dynamic."""
        return None if self.static is None else self.static.unroll


def pack(lengths: Int[Array, " sequences"], max_length: int, capacity: int) -> Packing:
    """Layout of a batch of sequences.

    Args:
        lengths: of the sequences, in any order.
        max_length: static upper bound of the lengths.
        capacity: static upper bound of the sum of the lengths.
    """
    return Packing(jnp.sort(lengths, descending=True), max_length, capacity)
