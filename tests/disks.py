"""File systems of the tests' own, which can be full."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    """Mounts a file system, or skips the test where that is not allowed."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount to mount file systems with")
    done = subprocess.run(
        ["mount", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Lazily: what an error holds on to may still be mapped.
        subprocess.run(["umount", "--lazy", arguments[-1]], check=True)


def fill(folder: Path, free: int) -> None:
    """Leaves about so many bytes free on a file system."""
    statistics = os.statvfs(folder)
    size = statistics.f_bavail * statistics.f_frsize - free
    (folder / "ballast").write_bytes(b"x" * size)
