"""Names, one a line, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines in UTF-8."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a file that `write_lines` wrote."""
    return tuple(path.read_bytes().decode().split("\n")[:-1])
