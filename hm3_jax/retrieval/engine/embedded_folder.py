"""Folders of Qdrant's embedded mode: whole or as before, and compared when opened.

The embedded mode changes its files in their places, and takes flipped bits for numbers,
or fails. So a copy is changed, which then takes the folder's place, with a list of its
files' checksums.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from hm3_jax.files.durable import whole_or_as_before
from hm3_jax.files.file_list import FILE_LIST, list_of, listed_damage
from hm3_jax.files.lines import write_text

# What makes a folder one of the embedded mode.
_META = "meta.json"
# Says that a process has the folder open.
_LOCK = ".lock"


def check_folder(folder: Path, *, make: bool) -> None:
    """Refuses a folder that is none of the embedded mode, or is damaged.

    Args:
        folder: It.
        make: Whether there may be none yet, or an empty one.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it holds something else, or others bytes than were written.
    """
    if (folder / _META).is_file():
        if problem := listed_damage(folder):
            raise ValueError(
                f"{problem}: remove the folder, and build_index --uri makes it again "
                f"(if another program changed it, remove {folder / FILE_LIST})"
            )
        return
    if not folder.exists():
        if make:
            return
        raise FileNotFoundError(
            f"{folder}: expected a folder of Qdrant's embedded mode, found none"
        )
    if not (make and folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(
            f"{folder}: expected a folder of Qdrant's embedded mode, found no {_META} "
            "there"
        )


@contextlib.contextmanager
def folder_to_change(folder: Path) -> Iterator[Path]:
    """A copy of a folder, to be changed, that takes its place at the end.

    Args:
        folder: That no other process has open; there may be none yet.

    Raises:
        OSError: If the disk did not take it; what was there before still is.
    """
    with whole_or_as_before(folder) as copy:
        if folder.is_dir():
            ignored = shutil.ignore_patterns(_LOCK, FILE_LIST)
            shutil.copytree(folder, copy, ignore=ignored, dirs_exist_ok=True)
        yield copy
        names = [
            str(path.relative_to(copy))
            for path in copy.rglob("*")
            if path.is_file() and path.name != _LOCK
        ]
        write_text(copy / FILE_LIST, list_of(copy, names))
