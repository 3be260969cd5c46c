"""Folders that are whole or absent, and what it takes to be on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_absent(path: Path, what: str = "a store") -> Iterator[Path]:
    """A temporary folder that becomes `path` if the block ends without error.

    Raises:
        FileExistsError: If `path` exists, before the block or after it.
    """
    if path.exists():
        raise FileExistsError(f"{path}: expected a path to make {what} at, it exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        # mkdtemp's folders are the user's alone; a store is as open as other folders.
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        yield folder
        for file in [*folder.iterdir(), folder]:
            sync(file)
        if path.exists():
            raise FileExistsError(f"{path}: made by another process in the meantime")
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk.

    Raises:
        OSError: If the disk did not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
