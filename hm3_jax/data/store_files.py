"""Files of a feature store while it is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from hm3_jax.data.store_format import FileFacts


class RowFile:
    """A .npy file that is appended to; its length enters the header at the end."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]):
        """Makes the file, of rows of `shape`; to be used in a with statement."""
        self._dtype = np.dtype(dtype)
        self._shape = shape
        self._file = path.open("wb")
        self.length = 0

    def __enter__(self) -> RowFile:
        """Starts the file."""
        self._header_size = self._write_header()
        return self

    def append(self, rows: np.ndarray) -> None:
        """Adds rows, which are in the file's dtype already or fit it."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.length += len(rows)

    def __exit__(self, error: type | None, *_: object) -> None:
        """Closes the file; gives it its length if all went well."""
        with self._file:
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


def offsets_of(lengths: Sequence[int]) -> np.ndarray:
    """(owners + 1,) int64 offsets of owners that have `lengths` rows."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines in UTF-8."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def file_facts(path: Path) -> FileFacts:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return FileFacts(path.stat().st_size, digest.hexdigest())


@contextmanager
def whole_or_absent(path: Path, what: str = "a store") -> Iterator[Path]:
    """A temporary folder that becomes `path` if the block ends without error.

    Raises:
        FileExistsError: If `path` exists, before the block or after it.
    """
    if path.exists():
        raise FileExistsError(f"{path}: expected a path to make {what} at, it exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    try:
        # mkdtemp's folders are the user's alone; a store is as open as other folders.
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        yield folder
        for file in [*folder.iterdir(), folder]:
            sync(file)
        if path.exists():
            raise FileExistsError(f"{path}: made by another process in the meantime")
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk.

    Raises:
        OSError: If the disk did not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
