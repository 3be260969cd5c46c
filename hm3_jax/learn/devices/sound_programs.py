"""Compiled programs in a folder of JAX's, compared with a checksum when they are read.

JAX runs what it finds in its cache. It packs programs, and what unpacks them may or may
not notice a flipped bit. A kill while one is written leaves a part of it, which JAX
never replaces, or a program without the file that says when it was last used, without
which JAX keeps no other program any more. Here a program ends with a checksum; one that
is damaged, or that a kill has left, is removed and compiled again.
"""

import contextlib
from pathlib import Path
from typing import Any

import xxhash

_PROGRAM, _USED = "-cache", "-atime"
_CHECKSUM_BYTES = 16
_compared: set[Path] = set()


def compare_what_is_read(folder: Path) -> None:
    """Has JAX compare the programs of a folder, and no others.

    JAX has no parameter for it, so a function of its own is replaced. Where a version
    has none of that name, its cache is as it comes.

    Args:
        folder: Where the user's programs are.
    """
    try:
        from jax._src import compilation_cache as of_jax

        make = of_jax.get_file_cache
    except (ImportError, AttributeError):
        return
    if not _compared:
        of_jax.get_file_cache = lambda path: _compared_in(make(path), Path(path))
    _compared.add(folder)


def _compared_in(made: Any, folder: Path) -> Any:
    """What JAX's function has made: a cache and its path, or None."""
    if folder in _compared and isinstance(made, tuple):
        return SoundPrograms(made[0], folder), *made[1:]
    return made


class SoundPrograms:
    """A cache of JAX's whose programs are as they were written, or not there."""

    def __init__(self, cache: Any, folder: Path):
        """Wraps the cache of a folder."""
        self._cache, self._folder = cache, folder
        self._is_tidy = False

    def __getattr__(self, name: str) -> Any:
        """All else is as JAX has it."""
        return getattr(self._cache, name)

    def get(self, key: str) -> bytes | None:
        """The program of a key; None where there is none that is sound."""
        found = self._cache.get(key)
        if found is None:
            return None
        program, checksum = found[:-_CHECKSUM_BYTES], found[-_CHECKSUM_BYTES:]
        if xxhash.xxh3_128_digest(program) == checksum:
            return program
        self._remove(key)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keeps a program, after what kills have left is removed."""
        if not self._is_tidy:
            self._is_tidy = True
            self._remove_leftovers()
        try:
            self._cache.put(key, value + xxhash.xxh3_128_digest(value))
        except OSError:  # a full disk
            self._remove(key)
            raise

    def _remove_leftovers(self) -> None:
        for program in self._folder.glob(f"*{_PROGRAM}"):
            key = program.name.removesuffix(_PROGRAM)
            used = self._folder / f"{key}{_USED}"
            # One that another process writes just now is compiled again: no harm.
            if not used.exists():
                self._remove(key)

    def _remove(self, key: str) -> None:
        for end in (_PROGRAM, _USED):
            # A folder that cannot be written to stays as it is.
            with contextlib.suppress(OSError):
                (self._folder / f"{key}{end}").unlink(missing_ok=True)
