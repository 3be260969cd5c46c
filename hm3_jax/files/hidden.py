"""Hidden names beside a path, for outputs that are incomplete or being removed.

| name | is |
|---|---|
| `.NAME.partial` | a file that is being written |
| `.NAME.partial-TOKEN` | what is being made, or a folder that a new one replaced |
| `.NAME.former-TOKEN` | what was there, while a new one takes its place |
| `.NAME.deleted-TOKEN` | a folder that is being deleted |

A running process holds the lock of everything with its token; files and folders without
a lock are left from dead processes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hm3_jax.files.errors import naming_instead
from hm3_jax.files.flush import make_folders
from hm3_jax.files.locks import lock, unlock

# Names have 255 bytes at most.
_LONGEST = 200
_NAME = re.compile(r"\.(?P<name>.+)\.(?P<what>partial|deleted|former)-[0-9a-z_]{8,32}")


def hidden_name(path: Path, what: str) -> Path:
    """`.NAME.WHAT` beside a path; a long name is cut."""
    name = os.fsencode(path.name)[:_LONGEST].decode(errors="ignore")
    return path.parent / f".{name}.{what}"


def new_hidden_name(path: Path, what: str) -> Path:
    """`.NAME.WHAT-TOKEN` beside a path, of a new token."""
    return hidden_name(path, f"{what}-{secrets.token_hex(8)}")


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A new folder with a hidden name and locked; gone after an error.

    What dead processes left of making the same `path` is removed before.

    Raises:
        OSError: If nothing can be made beside `path`; the error names its parent.
    """
    folder, descriptor = _make_beside(path)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        unlock(descriptor)


def _make_beside(path: Path) -> tuple[Path, int]:
    make_folders(path.parent)
    remove_leftovers(path.parent, path.name)
    while True:
        folder = new_hidden_name(path, "partial")
        with naming_instead(path.parent, folder):  # nobody knows the hidden name
            folder.mkdir()
        try:
            descriptor, _ = lock(folder, folder=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # before it was locked, another process took it for a leftover
        return folder, descriptor


def remove_leftovers(
    parent: Path, name: str | None = None, *, alone: bool = False
) -> None:
    """Removes what dead processes left half made, and takes back former folders.

    Args:
        parent: The folder that it is in.
        name: Of what was being made; None for all.
        alone: Whether no other process works there, so that all are leftovers where
            the file system has no locks too; otherwise, there they stay.
    """
    take_back(parent, name)
    for path, _ in _found(parent, name):
        with _dead(path) as is_dead:
            if is_dead is False or (is_dead is None and not alone):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def take_back(parent: Path, name: str | None = None) -> None:
    """Gives former folders their names back that a kill left without a successor."""
    for former, match in _found(parent, name):
        path = parent / (name or match["name"])
        if match["what"] == "former" and not path.exists():
            with _dead(former) as is_dead:
                if is_dead is not False and not path.exists():
                    former.rename(path)


def _found(parent: Path, name: str | None) -> list[tuple[Path, re.Match[str]]]:
    """What has a hidden name with a token, beside `parent / name` or anywhere."""
    wanted = None if name is None else hidden_name(parent / name, "").name
    if not os.access(parent, os.R_OK):  # a folder to write into only
        return []
    return [
        (path, match)
        for path in parent.iterdir()
        if (match := _NAME.fullmatch(path.name))
        and wanted in (None, f".{match['name']}.")
        and (path.is_dir() or (match["what"] == "partial" and path.is_file()))
        and not path.is_symlink()
    ]


@contextmanager
def _dead(path: Path) -> Iterator[bool | None]:
    """Whether no process works at a path; None where there are no locks.

    While the block runs, none begins to.
    """
    try:
        descriptor, has_lock = lock(path, folder=path.is_dir())
    except OSError:  # locked, gone, or somebody else's
        yield False
        return
    try:
        yield True if has_lock else None
    finally:
        unlock(descriptor)
