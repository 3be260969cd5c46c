"""Several processes as one: who writes, and what all must decide alike."""

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


def any_of_them(here: bool) -> bool:
    """Whether something is so in any of the processes; all get the same answer."""
    if jax.process_count() == 1:
        return here
    return bool(multihost_utils.process_allgather(np.array([here])).any())


def of_writer(value: int) -> int:
    """The writer's number, in every process."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.array(value, np.int32)))
