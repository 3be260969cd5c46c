"""Size and checksums of files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import xxhash

from hm3_jax.files.errors import naming

# Bytes read at a time: what the processor's cache holds.
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class FileFacts:
    """Size and checksum of one file.

    Attributes:
        bytes: Its size.
        sha256: Its checksum, as 64 hexadecimal digits.
    """

    bytes: int
    sha256: str


def file_facts(path: Path) -> FileFacts:
    """Size and checksum of a file."""
    with naming(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return FileFacts(path.stat().st_size, digest.hexdigest())


def file_state(path: Path) -> tuple[int, int, int]:
    """Which file it is, its size, and when it was last written to, in nanoseconds."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def fast_checksum(path: Path) -> str:
    """XXH3 of a file in 64 bits, as 16 hexadecimal digits.

    Several times as fast as SHA-256: it tells damage, not whether two files that
    somebody made are the same.
    """
    found, block = xxhash.xxh3_64(), memoryview(bytearray(_BLOCK))
    with naming(path), path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            found.update(block[:size])
    return found.hexdigest()


def check_inside(names: Iterable[object], where: object) -> None:
    """Refuses names of files outside of the folder that lists them.

    Whoever made a folder may not have files of others read.

    Args:
        names: As they are in a list of files, "a" or "a/b".
        where: The list, for the message.

    Raises:
        ValueError: One is no name, or leads elsewhere.
    """
    for name in names:
        path = PurePosixPath(name if isinstance(name, str) else "/")
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(
                f"{where}: expected files of its own folder, found {name!r}"
            )


def check_sizes(folder: Path, files: Mapping[str, FileFacts]) -> None:
    """Checks that files are there in full; cheap, as none is read.

    Raises:
        FileNotFoundError: If one is missing.
        ValueError: If one has another size.
    """
    for name, facts in files.items():
        file = folder / name
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{file}: expected a file of {facts.bytes} bytes, found none"
            ) from None
        if size != facts.bytes:
            raise ValueError(f"{file}: expected {facts.bytes} bytes, found {size}")
