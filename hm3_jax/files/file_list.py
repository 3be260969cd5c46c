"""`files.json`: size and checksum of files of its folder, and a checksum of itself.

Checkpoints, tries, evaluations and converted models have one, written last. A folder
without one is not whole yet, or of an earlier version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts, check_inside, file_facts
from hm3_jax.files.json_files import parse_json

FILE_LIST = "files.json"


def list_text(files: Mapping[str, FileFacts]) -> str:
    """The text of a list."""
    return _text({name: dataclasses.asdict(facts) for name, facts in files.items()})


def list_of(folder: Path, names: Iterable[str]) -> str:
    """The text of the list of a folder.

    Args:
        folder: The folder.
        names: Of files that are there; those that are not are left out.
    """
    there = sorted(name for name in names if (folder / name).is_file())
    return list_text({name: file_facts(folder / name) for name in there})


def drop_list(folder: Path) -> None:
    """Removes the list of a folder whose files are about to change."""
    (folder / FILE_LIST).unlink(missing_ok=True)


def listed_damage(folder: Path, names: Collection[str] | None = None) -> str | None:
    """As `damage`, but a folder may have no list; then nothing is known to be wrong."""
    return damage(folder, names) if (folder / FILE_LIST).exists() else None


def damage(folder: Path, names: Collection[str] | None = None) -> str | None:
    """What is wrong with the files of a folder that has a list, in one line.

    Args:
        folder: The folder.
        names: Files to look at; None for all of the list.

    Returns:
        None if every file is what it was; else a text that names the file.
    """
    try:
        return _damage(folder, names)
    except OSError as error:  # a sector that cannot be read, a folder without rights
        return f"{error.filename or folder}: cannot be read: {error.strerror or error}"


def _damage(folder: Path, names: Collection[str] | None) -> str | None:
    path = folder / FILE_LIST
    if not path.is_file():
        return f"{path}: damaged: no such file"
    text = path.read_bytes()
    try:
        files = parse_json(text, path)["files"]
        intact = text == _text(files).encode()
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact or not isinstance(files, dict):
        return f"{path}: damaged: differs from the checksum in it"
    try:
        check_inside(files, f"{path}: damaged")
    except ValueError as error:
        return str(error)
    for name, wanted in files.items():
        if names is not None and name not in names:
            continue
        file = folder / name
        if not file.is_file():
            return f"{file}: damaged: no such file"
        found = dataclasses.asdict(file_facts(file))
        if found != wanted:
            return f"{file}: damaged: expected {wanted}, found {found}"
    return None


def _text(files: Mapping[str, Any]) -> str:
    checksum = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return json.dumps({"files": files, "sha256": checksum}, indent=1) + "\n"
