"""Locks of files and folders: the kernel's, which end with the process."""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What file systems without locks answer, NFS for folders among them.
_UNSUPPORTED = {
    errno.EBADF,
    errno.EINVAL,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}
# Whoever may write beside a path could else lead a lock, and what is written into the
# locked file, to a file of its owner elsewhere.
_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Holds the lock of a file, which is made if there is none.

    It ends with the process however that ends, so there is no stale one to remove, and
    a file that is left does no harm. Several hosts on a shared file system exclude each
    other as far as that passes `flock` on: NFS does since Linux 2.6.12, unless mounted
    with `local_lock=flock` or `nolock`; Lustre where it is mounted with `flock` (with
    `localflock`, processes of one host only). Where there are no locks, a warning says
    so.

    Args:
        path: The file.
        wait: Whether to wait for whoever holds it.

    Yields:
        Descriptor of the file, open for reading and writing.

    Raises:
        BlockingIOError: Another process, or thread, holds it.
    """
    descriptor, has_lock = lock(path, wait=wait)
    try:
        if not has_lock:
            warnings.warn(
                f"{path.parent}: this file system has no locks; see to it yourself "
                "that no other process works there",
                stacklevel=1,
            )
        yield descriptor
    finally:
        unlock(descriptor)


def lock(path: Path, *, wait: bool = False, folder: bool = False) -> tuple[int, bool]:
    """Opens and locks a file, or a folder that is there.

    Returns:
        A descriptor for `unlock`, and False where the file system has no locks.

    Raises:
        BlockingIOError: Another process, or thread, holds the lock.
        FileNotFoundError: There is no such folder.
        OSError: It is a link.
    """
    while True:
        descriptor = os.open(path, (_FOLDER if folder else _FILE) | os.O_CLOEXEC, 0o666)
        # A process forked off without exec would hold the lock on after our end.
        _HELD.add(descriptor)
        try:
            has_lock = _flock(descriptor, path, wait)
            # Whoever held it may have deleted it between our opening and locking it.
            if _is_at(descriptor, path):
                return descriptor, has_lock
        except BaseException:
            unlock(descriptor)
            raise
        unlock(descriptor)


def unlock(descriptor: int) -> None:
    """Gives up what `lock` returned."""
    _HELD.discard(descriptor)
    os.close(descriptor)


_HELD: set[int] = set()


def _close_in_child() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_close_in_child)


def _flock(descriptor: int, path: Path, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        error.filename = str(path)
        raise
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
