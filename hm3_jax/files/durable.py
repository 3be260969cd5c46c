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
    with _beside(path) as folder:
        yield folder
        for file in [*folder.iterdir(), folder]:
            sync(file)
        if path.exists():
            raise FileExistsError(f"{path}: made by another process in the meantime")
        folder.rename(path)
    sync(path.parent)


@contextmanager
def whole_or_as_before(path: Path) -> Iterator[Path]:
    """A temporary folder that replaces `path` if the block ends without error.

    The caller has made sure that a folder which is there may go.

    Raises:
        OSError: If nothing can be made beside `path`; the error names its parent.
    """
    with _beside(path) as folder:
        yield folder
        for file in [*folder.iterdir(), folder]:
            sync(file)
        if path.exists():
            former = folder.with_name(f"{folder.name}.former")
            path.rename(former)
            try:
                folder.rename(path)
            except BaseException:
                former.rename(path)
                raise
            shutil.rmtree(former, ignore_errors=True)
        else:
            folder.rename(path)
    sync(path.parent)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new folder with a hidden name, gone after an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(
            tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent)
        )
    except OSError as error:
        # Nobody knows the hidden name.
        raise type(error)(error.errno, error.strerror, str(path.parent)) from None
    try:
        # mkdtemp's folders are the user's alone; a store is as open as other folders.
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


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
