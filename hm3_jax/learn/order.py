"""Which museums each batch holds: pure in (seed, try, epoch)."""

import numpy as np
from jaxtyping import Int

EMPTY = -1
"""Stands in a batch for a place that holds no museum."""


def epoch_batches(
    museums: Int[np.ndarray, " museums"],
    batch_size: int,
    *,
    seed: int,
    attempt: int,
    epoch: int,
) -> Int[np.ndarray, "steps batch"]:
    """A fresh shuffle cut into batches; the last one may be smaller.

    Args:
      museums: what to shuffle.
      batch_size: museums of a batch.
      seed: of the experiment.
      attempt: number of the try, from 1.
      epoch: from 0.

    Returns:
      int32 (steps, batch_size); `EMPTY` fills the end of the last batch.
    """
    generator = np.random.Generator(np.random.Philox([seed, attempt, epoch]))
    return in_batches(museums[generator.permutation(len(museums))], batch_size)


def in_batches(
    museums: Int[np.ndarray, " museums"], batch_size: int
) -> Int[np.ndarray, "steps batch"]:
    """Cuts a list of museums into batches in its order.

    Args:
      museums: any indices.
      batch_size: museums of a batch.

    Returns:
      int32 (steps, batch_size); `EMPTY` fills the end of the last batch.
    """
    steps = -(-len(museums) // batch_size)
    batches = np.full(steps * batch_size, EMPTY, np.int32)
    batches[: len(museums)] = museums
    return batches.reshape(steps, batch_size)
