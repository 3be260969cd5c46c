"""A tree of arrays as one Orbax folder, written and read back bit for bit."""

import contextlib
import gc
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint._src.serialization import tensorstore_utils

# What is written here is flushed by `learn.saved.verified_folder`, once. TensorStore's
# own way fails where a file system cannot flush folders, and Orbax has no parameter for
# it.
_ORBAX: Any = tensorstore_utils
for _context in (_ORBAX._BASE_TS_CONTEXT, _ORBAX._DEFAULT_OCDBT_TS_CONTEXT):
    _context["file_io_sync"] = False

# Seconds in which writes that were begun will have ended.
_SETTLE = 0.2


def write_arrays(folder: Path, tree: Mapping[str, Any]) -> None:
    """Writes NumPy arrays with Orbax; not flushed.

    Orbax's managers and checkpointers wait for other processes, cost several times
    as much and take some failed saves for done. Its handler does none of this, and
    writes NumPy arrays on process 0 alone.

    Args:
        folder: to be made.
        tree: nested dictionaries of arrays, none of them empty.

    Raises:
        OSError: what Orbax and TensorStore had to say.
    """
    folder.mkdir()
    handler, problem = _handler(), ""
    with _silent_orbax():
        try:
            handler.save(_orbax_path(folder), args=ocp.args.PyTreeSave(tree))
            handler.finalize(_orbax_path(folder))
        except Exception as error:  # Orbax and TensorStore raise a zoo of types
            problem = _first_line(error)
        if problem:
            # The first array that fails ends it, while others are being written; and
            # those that failed too are complained about when they are collected.
            time.sleep(_SETTLE)
            gc.collect()
    if problem:
        raise OSError(problem)


def read_arrays(folder: Path) -> dict[str, Any]:
    """Reads what `write_arrays` wrote, as NumPy arrays.

    Raises:
        OSError: what Orbax and TensorStore had to say.
    """
    try:
        return _handler().restore(_orbax_path(folder))
    except Exception as error:
        raise OSError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """What a library has to say, without the essay that follows."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__


@contextlib.contextmanager
def _silent_orbax() -> Iterator[None]:
    """Keeps errors that are raised anyway from being logged too, with long tracebacks.

    After Ctrl-C this stays so, because Orbax's threads run until the process ends.
    """

    def keep(record: logging.LogRecord) -> bool:
        unawaited = record.name == "asyncio" and "never retrieved" in record.msg
        return not unawaited and "orbax" not in record.pathname

    logs = [logging.getLogger(name) for name in ("absl", "asyncio")]
    with contextlib.ExitStack() as undo:
        for log in logs:
            log.addFilter(keep)
            undo.callback(log.removeFilter, keep)
        try:
            yield
        except KeyboardInterrupt:
            undo.pop_all()
            raise


def same_bits(found: Any, wanted: Any) -> bool:
    """Whether two trees of arrays agree in structure, shapes, dtypes and every bit."""
    if jax.tree.structure(found) != jax.tree.structure(wanted):
        return False
    return all(jax.tree.leaves(jax.tree.map(_same_array, found, wanted)))


def _same_array(found: np.ndarray, wanted: np.ndarray) -> bool:
    return (
        found.dtype == wanted.dtype
        and found.shape == wanted.shape
        # As bytes: NaN is not equal to itself, and -0.0 is to 0.0.
        and np.array_equal(_bytes_of(found), _bytes_of(wanted))
    )


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _handler() -> ocp.PyTreeCheckpointHandler:
    # One database for all arrays: a folder for each would be some hundred flushes.
    # Mantissas of trained parameters do not compress, trying costs half as much again.
    return ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_compression=False)


def _orbax_path(folder: Path) -> Any:
    # Orbax's types ask for a path class of another package; these serve as well.
    return folder.absolute()
