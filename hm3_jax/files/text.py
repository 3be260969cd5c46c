r"""Text and names of files as people and their programs leave them.

Importing this registers the error handler `NAMES`, by which a stream or an encoding
writes the bytes of a name that is no UTF-8 as ``\xe9``.
"""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path

NAMES = "hm3_jax.names"
"""Name of the handler, for `errors=`."""

# Python's stand-ins for bytes 0x80 to 0xff of names that it could not decode.
_BYTES = range(0xDC80, 0xDD00)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_text(path: Path) -> str:
    r"""The text of a file that somebody else wrote, with ``\n`` between lines.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `decode`.
    """
    return io.StringIO(decode(path.read_bytes(), str(path)), newline=None).read()


def decode(data: bytes, where: str) -> str:
    """Decodes text that somebody else wrote.

    UTF-16 if its byte order mark comes first; UTF-8, with or without a mark, if the
    bytes are that; else Windows-1252, which has all letters of Latin-1.

    Args:
        data: The bytes.
        where: What to name in messages.

    Raises:
        ValueError: If the bytes are none of these; the message names the line.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, tried = "utf-16", "UTF-16, as its mark says"
    elif data.startswith(codecs.BOM_UTF8):
        encoding, tried = "utf-8-sig", "UTF-8, as its mark says"
    elif _is_utf8(data):
        encoding, tried = "utf-8", "UTF-8"
    else:
        encoding, tried = "cp1252", "UTF-8 or Windows-1252"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{where}: expected text in {tried}, found the byte "
            f"0x{error.object[error.start]:02x} in line {line}"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{where}: expected text, found a zero byte in line {line}")
    return text


def readable(name: object) -> str:
    r"""A name or path to show on one line, with ``\xe9`` and ``\n`` for what cannot be.

    The first stands for a byte that is no UTF-8, the other for a control character.
    """
    text = str(name).encode("utf-8", NAMES).decode()
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def is_text(name: str) -> bool:
    """Whether a name is in UTF-8, so that it can be written into a text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        character = ord(error.object[error.start])
        if character in _BYTES:
            return f"\\x{character - 0xDC00:02x}", error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(NAMES, _escape)
