"""Puts files and folders on the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What is answered for folders by file systems that cannot flush them, and for those
# that the user may write into and not read.
_NOT_FLUSHED = {
    errno.EACCES,
    errno.EBADF,
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}


def sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk.

    Raises:
        OSError: If the disk did not take it; the error names it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FLUSHED or not path.is_dir():
            error.filename = str(path)
            raise


def sync_all(folder: Path) -> None:
    """Puts a folder and all that is in it, at any depth, on the disk.

    Raises:
        OSError: As `sync`.
    """
    for here, _, names in os.walk(folder, topdown=False):
        for path in (Path(here, name) for name in names):
            if not path.is_symlink():
                sync(path)
        sync(Path(here))


def make_folders(folder: Path) -> None:
    """Makes a folder and those above it, so that a power cut leaves them there."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
