"""Opens files for decoders, and tells a failing file system from a damaged file.

Decoders turn whatever happens while they read into "damaged". So they get their bytes
from here only: never by a path or a descriptor, never by a map of the file, where an
error would kill the process. What the file system refused is remembered and raised,
whatever the decoder made of it.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hm3_jax.extraction.errors import FileSystemFailure, MissingInput, UnreadableInput
from hm3_jax.files.content import what_a_text_is

# What is wrong with one name, and not with the file system.
_OF_THE_NAME = (
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
)
_HEAD = 512


@contextmanager
def source_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """Opens a file to be decoded.

    Args:
        path: The file.
        what: What it should be, "a picture".

    Returns:
        A context with the file, which has no descriptor to give away.

    Raises:
        MissingInput: If there is no such file.
        UnreadableInput: If it is empty, or a text such as git-lfs leaves in the place
            of a file.
        FileSystemFailure: If it cannot be opened or read for another reason, in the
            block too.
    """
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileNotFoundError(errno.ENOENT, "no regular file")
        raw = _Remembering(path)
    except OSError as error:
        if error.errno in _OF_THE_NAME:
            raise MissingInput(path, f"expected {what}, found no such file") from None
        raise _failure(path, error) from None
    with io.BufferedReader(raw) as file:
        try:
            head = file.peek(_HEAD)[:_HEAD]
            if not head:
                raise UnreadableInput(path, f"expected {what}, found an empty file")
            found = what_a_text_is(head)
            if found is not None:
                raise UnreadableInput(path, f"expected {what}, found {found}")
            yield file
        except Exception as error:
            if raw.failure is None:
                raise
            raise _failure(path, raw.failure) from error
        if raw.failure is not None:
            raise _failure(path, raw.failure)


def _failure(path: Path, error: OSError) -> FileSystemFailure:
    return FileSystemFailure(path, error.strerror or str(error))


class _Remembering(io.FileIO):
    """A file that remembers what its system refused."""

    failure: OSError | None = None

    def __init__(self, path: Path):
        super().__init__(os.fspath(path))

    def readinto(self, buffer: Any, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            raise

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            # Damaged files send decoders to places that cannot be.
            if error.errno != errno.EINVAL:
                self.failure = error
            raise

    def fileno(self) -> int:
        raise io.UnsupportedOperation("this file is read through Python")
