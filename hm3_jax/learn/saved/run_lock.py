"""One process at a time writes into a run's folder."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

_FILE = ".lock"
# What file systems without locks answer.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder; a second holder is refused.

    The lock is the kernel's (`flock` on a file in the folder) and ends with the process
    however that ends, so there is no stale one to remove. The file says who holds it.
    It is deleted at the end; one that is left after a kill does no harm.

    Several hosts on a shared file system exclude each other as far as that passes
    `flock` on: NFS does since Linux 2.6.12, unless mounted with `local_lock=flock` or
    `nolock`; Lustre where it is mounted with `flock` (with `localflock`, processes of
    one host only).

    Args:
      folder: of the run; is made if there is none.

    Raises:
      FileExistsError: another process holds it; named with host and start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    descriptor = _open_locked(path)
    # A process forked off without exec would hold the lock on after our end.
    _HELD.add(descriptor)
    try:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        # Before the lock is given up, as the next holder's file has the same name.
        with contextlib.suppress(OSError):
            path.unlink()
        _HELD.discard(descriptor)
        os.close(descriptor)


_HELD: set[int] = set()


def _close_in_child() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_close_in_child)


def _open_locked(path: Path) -> int:
    """Opens and locks a file that is still there once it is locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(descriptor, path)
            # The holder before may have deleted it between our opening and locking it.
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileExistsError(
            f"{path.parent}: expected no other process at work there, found "
            f"{_holder(descriptor)}"
        ) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        warnings.warn(
            f"{path.parent}: this file system has no locks; see to it yourself that "
            "no other process works there",
            stacklevel=5,
        )


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"{holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # locked, and not written yet
        return "one that has just begun"


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
