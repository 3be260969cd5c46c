"""Errors of the file system that say which file, and which disk is full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC: "no space left on", errno.EDQUOT: "quota used up on"}
# What libraries are looked through for that say in words only what failed.
_IN_WORDS = (*_FULL, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names a file in the errors of reading or writing it that name none.

    The kernel's errors name a file where one is opened, not where one is read, written
    or flushed; libraries say only in words what failed.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = error.filename or str(path)
            raise
        code = code_of(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def code_of(error: OSError | RuntimeError) -> int | None:
    """The kernel's number of an error, also where a library says it in words only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    return next((n for n in _IN_WORDS if os.strerror(n) in str(error)), None)


@contextmanager
def naming_instead(path: Path, hidden: Path) -> Iterator[None]:
    """Names a place by the path that users know instead of the hidden one beside it.

    That the disk is full is said of `path` too, where it is said of no file.
    """
    try:
        yield
    except OSError as error:
        for name in ("filename", "filename2"):
            found = getattr(error, name)
            if isinstance(found, str) and Path(found).is_relative_to(hidden):
                setattr(error, name, str(path / Path(found).relative_to(hidden)))
        if is_full_disk(error):
            error.filename = error.filename or str(path)
        raise


def is_full_disk(error: BaseException) -> bool:
    """Whether a disk, or the user's share of it, is full."""
    return getattr(error, "errno", None) in _FULL


def full_disk(error: BaseException) -> str | None:
    """One line about a disk that is full, with the file; None for other errors."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    # Of two files, as of a copy, the second is the one that is written.
    file = error.filename2 or error.filename
    if not isinstance(file, str):
        return None
    disk = Path(os.path.realpath(file))
    while not os.path.ismount(disk):
        disk = disk.parent
    return f"{_FULL[error.errno]} {disk}, writing {file}"
