"""Files and folders that are complete or absent, and flushed to disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hm3_jax.files.errors import naming, naming_instead
from hm3_jax.files.flush import sync, sync_all
from hm3_jax.files.hidden import folder_beside, hidden_name, new_hidden_name
from hm3_jax.files.locks import lock, unlock
from hm3_jax.files.rename import exchange, rename_to_new


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file completely or not at all, and to the disk.

    Args:
        path: The file; one that is there is replaced.
        content: Bytes, or text for UTF-8.

    Raises:
        OSError: If the disk did not take it; a file that was there before still is.
    """
    # Always the same name: what a kill leaves of it, the next write takes away.
    partial = hidden_name(path, "partial")
    if partial.is_symlink():
        partial.unlink()
    with naming_instead(path, partial), naming(path):
        descriptor, _ = lock(partial, wait=True)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.truncate(0)
                file.write(content.encode() if isinstance(content, str) else content)
            os.fsync(descriptor)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            unlock(descriptor)
    sync(path.parent)


def refuse_existing(path: Path, what: str) -> None:
    """Refuses a path that something is to be made at, and where there is something.

    Raises:
        FileExistsError: If there is.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: expected a path to make {what} at, it exists")


@contextmanager
def whole_or_absent(path: Path, what: str = "a store") -> Iterator[Path]:
    """A temporary folder that becomes `path` if the block ends without error.

    What killed processes left of making the same is removed; see `hidden`.

    Args:
        path: The folder to make.
        what: Is said to be expected where `path` exists.

    Raises:
        FileExistsError: If `path` exists, before the block or after it.
        OSError: If the disk did not take it. Errors, those of the block too, name
            files as if they were in `path`.
    """
    refuse_existing(path, what)
    with folder_beside(path) as folder, naming_instead(path, folder):
        yield folder
        sync_all(folder)
        _rename(folder, path)


@contextmanager
def whole_or_as_before(path: Path) -> Iterator[Path]:
    """A temporary folder that replaces `path` if the block ends without error.

    Where `path` is a link, what it leads to is replaced.

    The caller has made sure that a folder which is there may go. At every moment one
    of both is there; where the kernel cannot exchange them, a kill may leave the former
    under a hidden name, which whoever makes `path` next, or `take_back`, undoes.

    Raises:
        OSError: As `whole_or_absent`; what was there before still is.
    """
    path = Path(os.path.realpath(path))
    with folder_beside(path) as folder, naming_instead(path, folder):
        yield folder
        sync_all(folder)
        if path.exists():
            _replace(folder, path)
        else:
            _rename(folder, path)


def _rename(folder: Path, path: Path) -> None:
    rename_to_new(folder, path)
    try:
        sync(path.parent)
    except BaseException:
        path.rename(folder)
        raise


def _replace(folder: Path, path: Path) -> None:
    # Locked, it is nobody's leftover while it has a hidden name. A link that came
    # meanwhile is no folder, and leads nowhere that anything is removed.
    descriptor, _ = lock(path, wait=True, folder=True)
    try:
        if exchange(folder, path):
            former = folder
            try:
                sync(path.parent)
            except BaseException:
                exchange(folder, path)
                raise
        else:
            former = new_hidden_name(path, "former")
            try:
                path.rename(former)
                _rename(folder, path)
            except BaseException:
                if former.exists():
                    former.rename(path)
                raise
        shutil.rmtree(former, ignore_errors=True)
    finally:
        unlock(descriptor)
