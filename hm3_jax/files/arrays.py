"""Arrays in .npy files: appended to, mapped into memory; ragged columns of them.

A ragged column is `values` beside `offsets` (one more than there are owners): the
values of owner i are `values[offsets[i]:offsets[i + 1]]`.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.lib import format as npy

from hm3_jax.files.errors import naming


class RowFile:
    """A .npy file that is appended to; its length enters the header at the end."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]):
        """Makes the file, of rows of `shape`; to be used in a with statement."""
        self._dtype = np.dtype(dtype)
        self._shape = shape
        self._path = path
        self._file = path.open("wb")
        self.length = 0

    def __enter__(self) -> RowFile:
        """Starts the file."""
        self._header_size = self._write_header()
        return self

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, which are in the file's dtype already or fit it."""
        with naming(self._path):
            self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.length += len(rows)

    def __exit__(self, error: type | None, *_: object) -> None:
        """Closes the file; gives it its length if all went well."""
        with naming(self._path), self._file:
            if error is None:
                self._file.seek(0)
                # numpy leaves room in the header for the first axis to grow.
                if self._write_header() != self._header_size:
                    raise RuntimeError("numpy wrote a .npy header of another length")

    def _write_header(self) -> int:
        description = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._shape),
        }
        npy.write_array_header_1_0(self._file, description)
        return self._file.tell()


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an array that has axes.

    As `np.save` does, whose errors do not say what failed.
    """
    with RowFile(path, array.dtype.str, array.shape[1:]) as file:
        file.append(array)


def new_array(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Makes a .npy file of zeros, mapped to be written.

    Its room on the disk is taken at once: what is written into a map when the disk is
    full ends the process.
    """
    with naming(path):
        array = npy.open_memmap(path, "w+", np.dtype(dtype), shape)
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def map_array(file: Path) -> np.ndarray:
    """Maps a .npy file into memory, read-only.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is no such file.
    """
    try:
        # The plain view spares every slice the bookkeeping of np.memmap.
        return np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except OSError:
        raise
    except Exception as error:
        # numpy evaluates the header as Python, which fails in as many ways.
        raise ValueError(f"{file}: expected a .npy array, found {error}") from None


class ChangedFileError(RuntimeError):
    """A file was written to while it was in use."""


class StoredRows:
    """Rows of a .npy file, read when they are asked for.

    They take no memory, not even that of a map, and a file that is written to or cut
    short is an error where a map would give other rows or end the process. Of one
    thread or several.
    """

    def __init__(self, path: Path):
        """Opens the file, which stays open as long as this is used.

        Raises:
            OSError: If it cannot be opened.
            ValueError: If it is no such file.
        """
        mapped = map_array(path)
        self._path, self._dtype, self._shape = path, mapped.dtype, mapped.shape[1:]
        self._row_bytes = math.prod(self._shape) * self._dtype.itemsize
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._state = self._state_now()
        self._start = self._state[0] - mapped.nbytes

    def read(self, first: int, last: int) -> np.ndarray:
        """A copy of the rows from `first` on, up to `last`.

        Raises:
            ChangedFileError: If the file was written to since it was opened.
        """
        size = (last - first) * self._row_bytes
        content = os.pread(self._file, size, self._start + first * self._row_bytes)
        if len(content) != size or self._state_now() != self._state:
            raise ChangedFileError(
                f"{self._path}: damaged: written to while it was in use"
            )
        return np.frombuffer(content, self._dtype).reshape(-1, *self._shape)

    def _state_now(self) -> tuple[int, int]:
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns


def offsets_of(lengths: Sequence[int]) -> np.ndarray:
    """(owners + 1,) int64 offsets of owners that have `lengths` rows."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def owned_rows(
    offsets: Int[np.ndarray, " owners_plus_1"], owners: Int[np.ndarray, " chosen"]
) -> Int[np.ndarray, " rows"]:
    """Numbers of the values of some owners of a ragged column, owner by owner."""
    lengths = offsets[owners + 1] - offsets[owners]
    shift = offsets[owners] - (np.cumsum(lengths) - lengths)
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(shift, lengths)
