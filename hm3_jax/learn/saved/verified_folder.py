"""Folders that count only once they are complete, flushed and verified.

A folder is made under a name that does not count. When its files are on the disk and
were read back from there, `files.json` with the size and checksum of each is added;
last, one rename gives it the name that counts. Whatever happens on the way, a power cut
included, either the whole folder is there under its name or none is.

Damage that comes later is found by comparing with `files.json`, which holds a checksum
of itself.
"""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.durable import sync
from hm3_jax.files.facts import file_facts

_FILES = "files.json"
# The names below which a folder is made or deleted.
_UNCOUNTED = re.compile(r"\.\d+\.(partial|deleted)-[0-9a-f]{32}")


def save_folder(
    target: Path,
    size: int,
    write: Callable[[Path], None],
    check: Callable[[Path], None],
) -> None:
    """Makes a folder, or replaces one that is there.

    A kill between the two renames that replace one leaves none of that name, but there
    is never a part of one.
    What killed saves have left beside it is removed.

    Args:
      target: the folder; its name is a number.
      size: bytes it will take, about.
      write: puts the files into the folder it is given; raises OSError if it cannot.
      check: raises OSError if the files in the folder it is given are not what was
        meant.

    Raises:
      OSError: the folder could not be saved; other folders are as they were.
    """
    partial, gone = _uncounted(target, "partial"), _uncounted(target, "deleted")
    try:
        _make_folder(target.parent)
        remove_leftovers(target.parent)
        _check_space(target.parent, size)
        partial.mkdir()
        write(partial)
        files = _read_back(partial)
        check(partial)
        (partial / _FILES).write_text(_list_text(files))
        for path in [partial / _FILES, *_folders(partial), partial]:
            sync(path)
        if target.exists():
            target.rename(gone)
        partial.rename(target)
        try:
            sync(target.parent)
        except BaseException:
            delete_folder(target)
            raise
    except OSError as error:
        raise OSError(f"{target}: could not be saved: {error}") from error
    finally:
        for path in (partial, gone):
            shutil.rmtree(path, ignore_errors=True)


def delete_folder(target: Path) -> None:
    """Deletes a folder; a kill on the way leaves nothing that counts."""
    gone = _uncounted(target, "deleted")
    target.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what kills have left of folders that were being made or deleted.

    Args:
      folder: that they were made in.
    """
    for path in folder.iterdir():
        if _UNCOUNTED.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


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
        files = json.loads(text)["files"]
        intact = text == _list_text(files).encode()
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        return f"{path}: damaged: differs from the checksum in it"
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


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, so that a power cut leaves them there."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def _check_space(folder: Path, size: int) -> None:
    # Writing would find out too, but only after the last bytes that others may need,
    # and with a page of messages of the libraries below.
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _uncounted(target: Path, why: str) -> Path:
    return target.with_name(f".{target.name}.{why}-{uuid.uuid4().hex}")
