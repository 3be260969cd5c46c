"""One process at a time writes into a run's folder."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from hm3_jax.files.errors import naming
from hm3_jax.files.flush import make_folders
from hm3_jax.files.json_files import read_object
from hm3_jax.files.locks import locked

_FILE = ".lock"


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, `files.locks.locked`; a second holder is refused.

    The file says who holds it. It is deleted at the end; one that is left after a kill
    does no harm.

    Args:
        folder: of the run; is made if there is none.

    Raises:
        FileExistsError: another process holds it; named with host and start.
    """
    make_folders(folder)
    path = folder / _FILE
    with contextlib.ExitStack() as held:
        try:
            descriptor = held.enter_context(locked(path))
        except BlockingIOError:
            raise FileExistsError(
                f"{folder}: expected no other process at work there, found "
                f"{_holder(path)}"
            ) from None
        try:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
            with naming(path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            # Before the lock is given up, as the next holder's file has the same name.
            with contextlib.suppress(OSError):
                path.unlink()


def _holder(path: Path) -> str:
    try:
        holder = read_object(path)
        return f"{holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError):  # locked, and not written yet
        return "one that has just begun"
