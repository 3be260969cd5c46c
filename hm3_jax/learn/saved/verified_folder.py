"""Folders that count only once they are complete, flushed and verified.

A folder is made under a hidden name. When its files are on the disk and were read back
from there, `files.json` with the size and checksum of each is added; last, one rename
gives it the name that counts. Whatever happens on the way, a power cut included, the
whole folder is there under its name, or what was there before.

Damage that comes later is found by comparing with `files.json` (`files.file_list`).
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hm3_jax.files.durable import whole_or_as_before
from hm3_jax.files.errors import code_of
from hm3_jax.files.facts import FileFacts, file_facts
from hm3_jax.files.file_list import FILE_LIST, list_text
from hm3_jax.files.flush import make_folders, sync
from hm3_jax.files.hidden import new_hidden_name, remove_leftovers
from hm3_jax.files.lines import write_text


def save_folder(
    target: Path,
    size: int,
    write: Callable[[Path], None],
    check: Callable[[Path], None],
) -> None:
    """Makes a folder, or replaces one that is there.

    What killed saves have left beside it is removed.

    Args:
        target: the folder; its name is a number.
        size: bytes it will take, about.
        write: puts the files into the folder it is given; raises OSError if it cannot.
        check: raises OSError if the files in the folder it is given are not what was
            meant.

    Raises:
        OSError: the folder could not be saved; it and others are as they were.
    """
    try:
        make_folders(target.parent)
        remove_leftovers(target.parent, alone=True)
        _check_space(target.parent, size)
        with whole_or_as_before(target) as partial:
            write(partial)
            files = _read_back(partial)
            check(partial)
            write_text(partial / FILE_LIST, list_text(files))
    except OSError as error:
        code = code_of(error)
        why = error.strerror or (os.strerror(code) if code else error)
        raise OSError(code, f"could not be saved: {why}", str(target)) from error


def delete_folder(target: Path) -> None:
    """Deletes a folder; a kill on the way leaves nothing that counts."""
    gone = new_hidden_name(target, "deleted")
    target.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _read_back(folder: Path) -> dict[str, FileFacts]:
    """Flushes every file and reads it again: size and checksum by name.

    A file just written is read from the kernel's memory, which would say nothing about
    the disk. Flushed pages can be dropped from there, so that the bytes do come from
    the disk (on Linux): a write that was lost or changed on its way is found. What the
    drive keeps in memory of its own, or spoils later, is not: for that, checksums are
    compared at every load.
    """
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            sync(file)
            _drop_from_memory(file)
            name = str(file.relative_to(folder))
            files[name] = file_facts(file)
    return files


def _drop_from_memory(file: Path) -> None:
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _check_space(folder: Path, size: int) -> None:
    # Writing would find out too, but only after the last bytes that others may need,
    # and with a page of messages of the libraries below.
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
