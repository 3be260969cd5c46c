"""Folders that count only once they are complete, flushed and verified.

A folder is made under a hidden name. When its files are on the disk and were read back
from there, `files.json` with the size and checksum of each is added; last, one rename
gives it the name that counts. Whatever happens on the way, a power cut included, the
whole folder is there under its name, or what was there before.

Damage that comes later is found by comparing with `files.json`, which holds a checksum
of itself.
"""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.durable import whole_or_as_before
from hm3_jax.files.errors import code_of
from hm3_jax.files.facts import check_inside, file_facts
from hm3_jax.files.flush import make_folders, sync
from hm3_jax.files.hidden import new_hidden_name, remove_leftovers
from hm3_jax.files.json_files import parse_json
from hm3_jax.files.lines import write_text

_FILES = "files.json"


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
            write_text(partial / _FILES, _list_text(files))
    except OSError as error:
        code = code_of(error)
        why = error.strerror or (os.strerror(code) if code else error)
        raise OSError(code, f"could not be saved: {why}", str(target)) from error


def delete_folder(target: Path) -> None:
    """Deletes a folder; a kill on the way leaves nothing that counts."""
    gone = new_hidden_name(target, "deleted")
    target.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that `save_folder` made, in one line.

    Returns:
        None if every file is what it was; else a text that names the file.
    """
    try:
        return _damage(folder)
    except OSError as error:  # a sector that cannot be read, a folder without rights
        return f"{error.filename or folder}: cannot be read: {error.strerror or error}"


def _damage(folder: Path) -> str | None:
    path = folder / _FILES
    if not path.is_file():
        return f"{path}: damaged: no such file"
    text = path.read_bytes()
    try:
        files = parse_json(text, path)["files"]
        intact = text == _list_text(files).encode()
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact or not isinstance(files, dict):
        return f"{path}: damaged: differs from the checksum in it"
    try:
        check_inside(files, f"{path}: damaged")
    except ValueError as error:
        return str(error)
    for name, wanted in files.items():
        file = folder / name
        if not file.is_file():
            return f"{file}: damaged: no such file"
        found = dataclasses.asdict(file_facts(file))
        if found != wanted:
            return f"{file}: damaged: expected {wanted}, found {found}"
    return None


def _list_text(files: Mapping[str, Any]) -> str:
    checksum = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return json.dumps({"files": files, "sha256": checksum}, indent=1) + "\n"


def _read_back(folder: Path) -> dict[str, dict[str, Any]]:
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
            files[name] = dataclasses.asdict(file_facts(file))
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
