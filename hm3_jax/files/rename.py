"""Renaming that the C library can do and Python cannot."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

_HERE = -100  # paths are relative to the current folder (AT_FDCWD)
_NOREPLACE, _EXCHANGE = 1, 2
# What kernels and file systems without it answer.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def rename_to_new(old: Path, new: Path) -> None:
    """Renames something to a name that must be free.

    Raises:
        FileExistsError: It is not.
    """
    try:
        if not _rename(old, new, _NOREPLACE):
            if os.path.lexists(new):
                raise FileExistsError
            os.rename(old, new)
    except OSError as error:
        if not isinstance(error, FileExistsError) and error.errno != errno.ENOTEMPTY:
            raise
        raise FileExistsError(
            f"{new}: made by another process in the meantime"
        ) from None


def exchange(one: Path, other: Path) -> bool:
    """Gives two things each other's name, at once.

    Returns:
        False if kernel or file system cannot, and nothing was done.
    """
    return _rename(one, other, _EXCHANGE)


def _rename(old: Path, new: Path, flags: int) -> bool:
    """Calls Linux's renameat2; False where there is none, or none with these flags."""
    call = _renameat2()
    if call is None:
        return False
    sys.audit("os.rename", old, new, -1, -1)
    if call(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):  # the numbers are Linux's
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        number, path = ctypes.c_int, ctypes.c_char_p
        call.argtypes = [number, path, number, path, ctypes.c_uint]
    return call
