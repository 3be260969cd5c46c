"""Texts in UTF-8, whatever the locale says; errors name the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hm3_jax.files.errors import naming


@contextmanager
def text_file(path: Path, mode: str = "w") -> Iterator[IO[str]]:
    """A file to write text to, with line ends as they are given."""
    with naming(path), path.open(mode, encoding="utf-8", newline="") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Writes a text into a folder that is not whole yet; not flushed."""
    with text_file(path) as file:
        file.write(text)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a file that `write_lines` wrote."""
    with naming(path):
        return tuple(path.read_bytes().decode().split("\n")[:-1])
