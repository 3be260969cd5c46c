"""Whether the bytes of a store's files are those that were written.

Each file is read once and remembered in the user's cache, by what changes when somebody
writes into it: its place on the disk, its size and its times. So a store is read in
full only by the first command that uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hm3_jax.data.store_format import Manifest
from hm3_jax.data.user_cache import user_cache
from hm3_jax.files.facts import fast_checksum, file_facts, file_state
from hm3_jax.files.json_files import read_object, write_json
from hm3_jax.files.words import counted

if TYPE_CHECKING:
    from hm3_jax.data.store import FeatureStore

_THREADS = 4
# Seconds after which a file that is changed again has another time, on any file system
# (FAT counts in steps of two).
_SETTLED = 2


def check_content(path: Path, manifest: Manifest) -> None:
    """Compares a store's files with their checksums, those that are not remembered.

    By XXH3 where the store has it, else by SHA-256.

    Args:
        path: The store's folder.
        manifest: What it says.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If files are not what was written; the message names the first.
    """
    notes = _notes(path)
    known = {} if notes is None else _read(notes)
    now = {name: _state(path, manifest, name) for name in manifest.files}
    unknown = [name for name, state in now.items() if known.get(name) != state]
    if not unknown:
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        # The largest first: it decides how long it takes.
        ordered = sorted(unknown, key=lambda name: -manifest.files[name].bytes)
        same = dict(
            zip(
                ordered,
                pool.map(lambda name: _is_as_written(path, manifest, name), ordered),
                strict=True,
            )
        )
    damaged = [name for name in manifest.files if not same.get(name, True)]
    if damaged:
        more = f" (and {counted(len(damaged) - 1, 'more file')})" if damaged[1:] else ""
        raise ValueError(
            f"{path / damaged[0]}: damaged or edited: expected the "
            f"{manifest.files[damaged[0]].bytes} bytes that were written, found others"
            f"{more}"
        )
    if notes is not None:
        _remember(notes, path, manifest, now)


def check_unchanged(store: FeatureStore, *, in_place: bool = False) -> None:
    """Refuses a store that was written to since it was opened: what was read is mixed.

    A store that was removed, or that another took the place of, is still there for
    whoever has mapped its files.

    Args:
        store: The store.
        in_place: Whether its files were opened by their names again, so that it must
            be there still.

    Raises:
        FileNotFoundError: If it has to be there and is not.
        ValueError: If a file was written to; the message names it.
    """
    for name, before in store.states.items():
        file = store.path / name
        try:
            now = file_state(file)
        except FileNotFoundError:
            if in_place:
                raise
            continue
        if now != before and (in_place or now[0] == before[0]):
            raise ValueError(
                f"{file}: written to while it was in use: run the same command again "
                "when nothing changes it"
            )


def _is_as_written(path: Path, manifest: Manifest, name: str) -> bool:
    file = path / name
    if manifest.xxh3:
        return fast_checksum(file) == manifest.xxh3.get(name)
    return file_facts(file) == manifest.files[name]


def _state(path: Path, manifest: Manifest, name: str) -> list[Any]:
    """What tells whether a file was written to; JSON."""
    found = (path / name).stat()
    return [
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        manifest.xxh3.get(name, manifest.files[name].sha256),
    ]


def _notes(path: Path) -> Path | None:
    """Where it is noted which files of a store were found sound."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    try:
        return user_cache("checked_stores") / f"{name}.json"
    except FileNotFoundError:
        return None


def _read(notes: Path) -> Mapping[str, Any]:
    try:
        return read_object(notes)
    except (OSError, ValueError):
        return {}


def _remember(
    notes: Path, path: Path, manifest: Manifest, before: Mapping[str, list[Any]]
) -> None:
    """Notes files that nobody wrote to while they were read, nor just before."""
    just_now = time.time_ns() - _SETTLED * 10**9
    settled = {
        name: state
        for name, state in before.items()
        if state == _state(path, manifest, name) and max(state[3:5]) < just_now
    }
    if not settled:
        return
    # What cannot be noted is read again the next time.
    with contextlib.suppress(OSError):
        notes.parent.mkdir(parents=True, exist_ok=True)
        write_json(notes, settled)
