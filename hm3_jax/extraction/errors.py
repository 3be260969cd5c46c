"""What can be wrong with one input file, and with the installation."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hm3_jax.files.extras import how_to_install


class UnreadableInput(ValueError):
    """One picture or video that cannot be read; others may be fine.

    Attributes:
        path: The file.
        reason: What is wrong with it, without the path.
    """

    def __init__(self, path: Path, reason: str):
        """Names the file and what is wrong with it."""
        # Both go to `args`, so that the exception comes whole out of a worker process.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        """The message of one line."""
        return f"{self.path}: {self.reason}"


class MissingInput(UnreadableInput):
    """One picture or video that is not there, though its folder may be."""


class FileSystemFailure(RuntimeError):
    """The file system failed, which says nothing about the content of its files.

    Attributes:
        path: What was to be read.
        reason: What the system said.
    """

    def __init__(self, path: Path, reason: str):
        """Names the file and what happened."""
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        """The message of one line."""
        return f"{self.path}: {self.reason}"


def require_packages(*names: str, extra: str = "extraction") -> None:
    """Checks that optional packages are there.

    Args:
        names: Top-level modules, such as "torch".
        extra: The extra of pyproject.toml that has them.

    Raises:
        ModuleNotFoundError: If one is not; the message says how to install it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"extracting features needs {', '.join(missing)}, not installed here: "
            f"{how_to_install(extra)}",
            name=missing[0],
        )


def first_line(error: BaseException) -> str:
    """What a library's exception says, cut to one short line."""
    return (str(error).splitlines() or [""])[0][:200]
