"""The user's cache, for files that can be made again."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "XDG_CACHE_HOME"
_homes: list[str] = []


def user_cache(kind: str) -> Path:
    """Folder below the user's cache; may not exist yet.

    Args:
        kind: what is kept there.

    Raises:
        FileNotFoundError: there is no cache, as the user has no home.
    """
    root = _root()
    if root is None:
        raise FileNotFoundError(
            f"expected a cache below the user's home or at {_VARIABLE}, found neither"
        )
    return root / "hm3_jax" / kind


def provide_cache() -> str | None:
    """Makes sure that there is a cache, for this program and the libraries it uses.

    A container's user may have no home, or one that is read-only. Then a temporary
    folder is the cache until the process ends, and also the home for libraries that
    look for one. A cache that exists is used even if it is read-only, because it may
    have what is needed.

    Returns:
        What the user should know, in one line; None if there was a cache.
    """
    root = _root()
    if not os.path.isabs(os.path.expanduser("~")):
        os.environ["HOME"] = _temporary()
        _homes.append(os.environ["HOME"])
    if root is not None and _can_exist(root):
        return None
    os.environ[_VARIABLE] = _temporary()
    reason = "the user has no home" if root is None else f"{root} cannot be made"
    return f"nothing is kept for the next time: {reason} ({_VARIABLE} can name a cache)"


def is_temporary_home(path: str) -> bool:
    """Whether a path is in a folder that `provide_cache` made instead of a home."""
    return any(Path(path).is_relative_to(home) for home in _homes)


def _temporary() -> str:
    folder = tempfile.mkdtemp(prefix="hm3_jax_cache_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _root() -> Path | None:
    # The standard for such folders says that relative paths do not count.
    cache = os.environ.get(_VARIABLE, "")
    if os.path.isabs(cache):
        return Path(cache)
    home = os.path.expanduser("~")
    return Path(home, ".cache") if os.path.isabs(home) else None


def _can_exist(folder: Path) -> bool:
    if folder.exists():
        return True
    there = next(above for above in folder.parents if above.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
