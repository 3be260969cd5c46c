"""Several processes as one: who writes, and what all must decide alike."""

import zlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def is_writer() -> bool:
    """Whether this process writes the run's files: one does."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Waits until every process is here.

    Args:
        what: names the place, the same in every process.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def of_all(number: int) -> list[int]:
    """The numbers of all processes, in their order; in every process the same."""
    if jax.process_count() == 1:
        return [number]
    # As bytes: JAX would cut integers to 32 bits.
    data = np.array([number], np.int64).view(np.uint8)
    with jax.transfer_guard("allow"):
        gathered = multihost_utils.process_allgather(data)
    return np.ascontiguousarray(gathered).view(np.int64)[:, 0].tolist()


def any_of_them(here: bool) -> bool:
    """Whether something is true in any process; all get the same answer."""
    return any(of_all(here))


def same_for_all(text: str) -> bool:
    """Whether every process has the same text; returns when all have asked."""
    return len(set(of_all(zlib.crc32(text.encode())))) == 1


def of_writer(value: int) -> int:
    """The writer's number, in every process."""
    return of_all(value)[0]


def from_writer(tree: Any) -> Any:
    """The writer's arrays, in every process.

    Args:
        tree: of numpy arrays with items of 4 bytes, of the same shapes everywhere.
    """
    if jax.process_count() == 1:
        return tree
    # Sent as a sum with zeros, which as floats would lose the sign of a zero.
    bits = jax.tree.map(lambda x: x.view(np.uint32), tree)
    with jax.transfer_guard("allow"):
        sent = multihost_utils.broadcast_one_to_all(bits)
    return jax.tree.map(lambda x, like: np.asarray(x).view(like.dtype), sent, tree)
