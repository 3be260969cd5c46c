"""What commands leave, so that it can be compared: bytes, but for what tells the time.

| file | is compared by |
|---|---|
| arrays of a checkpoint, which Orbax writes under names of its own | their values |
| `experiment.json` of a run | all but `uid`, `written` and its checksum |
| `speed.jsonl` of a run | being there |
| SQLite's files of Qdrant's | their tables |
| any other | its bytes |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

Digest = Callable[[Path], str]
"""A checksum of the arrays in a folder of a checkpoint."""

_ARRAYS = "arrays"
_OF_A_CHECKPOINT = {"files.json"}
_OWN = ("uid", "written", "checksum")
_TIMES = "speed.jsonl"
_TABLES = "storage.sqlite"


class Loader:
    """Loads arrays of checkpoints in a process of its own, as that starts threads."""

    def __init__(self) -> None:
        """Starts the process."""
        self._asks, answers = multiprocessing.Pipe()
        self._process = os.fork()
        if self._process == 0:
            self._asks.close()
            _load_until_closed(answers)
        answers.close()

    def digest(self, folder: Path) -> str:
        """A checksum of the arrays in a folder."""
        self._asks.send(folder)
        return self._asks.recv()

    def close(self) -> None:
        """Ends the process."""
        self._asks.close()
        # It waits for all who might ask, and commands that hang might.
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def contents(folder: Path, digest: Digest) -> dict[str, str]:
    """What is compared of a folder's files, by name; empty folders count too.

    Args:
        folder: It, or a file.
        digest: A checksum of the arrays in a folder.
    """
    found: dict[str, str] = {}
    if folder.is_file():
        return {"": _of_file(folder)}
    for here, folders, files in os.walk(folder):
        where = Path(here)
        name = "" if where == folder else f"{where.relative_to(folder)}/"
        if _ARRAYS in folders and (where / "meta.json").is_file():
            folders.remove(_ARRAYS)
            found[f"{name}{_ARRAYS}"] = digest(where / _ARRAYS)
            files = [file for file in files if file not in _OF_A_CHECKPOINT]
        if not folders and not files:
            found[name] = ""
        for file in files:
            found[f"{name}{file}"] = _of_file(where / file)
    return found


def difference(wanted: dict[str, str], found: dict[str, str]) -> str:
    """One line about what differs; empty if nothing does."""
    names = sorted(wanted.keys() | found.keys())
    said = []
    for name in names:
        if name not in found:
            said.append(f"no {name}")
        elif name not in wanted:
            said.append(f"also {name}")
        elif wanted[name] != found[name]:
            said.append(f"another {name}")
    return ", ".join(said[:4]) + (f" and {len(said) - 4} more" if said[4:] else "")


def _of_file(path: Path) -> str:
    if path.name == _TIMES:
        return ""
    if path.name == _TABLES:
        return _of_tables(path)
    data = path.read_bytes()
    if path.name == "experiment.json":
        try:
            value = json.loads(data)
            data = json.dumps(
                {k: v for k, v in value.items() if k not in _OWN}
            ).encode()
        except (ValueError, AttributeError):
            pass
    return hashlib.sha256(data).hexdigest()


def _of_tables(path: Path) -> str:
    """A checksum of what is in the tables of a file of SQLite."""
    found = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        try:
            tables = file.execute("SELECT name FROM sqlite_schema ORDER BY name")
            for (table,) in tables.fetchall():
                rows = file.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608
                found.update(repr((table, sorted(rows))).encode())
        except sqlite3.Error as error:
            return f"cannot be read: {error}"
    return found.hexdigest()


def digest_of_arrays(folder: Path) -> str:
    """A checksum of the arrays in a folder that Orbax has written."""
    import jax
    import numpy as np

    from hm3_jax.learn.saved.arrays import read_arrays

    found = hashlib.sha256()
    try:
        leaves = jax.tree_util.tree_leaves_with_path(read_arrays(folder))
    except Exception as error:  # whatever damage makes of it
        return f"cannot be read: {type(error).__name__}"
    for path, leaf in leaves:
        array = np.asarray(leaf)
        found.update(f"{path} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _load_until_closed(answers: Connection) -> NoReturn:
    while True:
        try:
            folder = answers.recv()
        except EOFError:
            os._exit(0)
        answers.send(digest_of_arrays(folder))
