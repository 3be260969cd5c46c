"""JSON files and text; errors are one line that names the place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from hm3_jax.files.content import what_a_text_is
from hm3_jax.files.durable import write_whole
from hm3_jax.files.errors import naming
from hm3_jax.files.text import read_text

# Lists and objects in one another. What goes through them takes a multiple of it in
# Python's stack, which has a thousand places.
_DEEPEST = 100
_HEAD = 512


def parse_json(text: bytes | str, where: object, *, strict: bool = False) -> Any:
    """The value of a JSON text, in UTF-8 with or without a mark at its beginning.

    Args:
        text: The text.
        where: What it is from, for messages.
        strict: Whether to refuse what Python takes beyond the standard: a key twice in
            an object, NaN and infinite numbers, halves of surrogate pairs.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, **(_STRICT if strict else {}))
        if strict and "\\ud" in text.lower():
            # A half of an escaped pair stands for nothing that can be written.
            json.dumps(value, ensure_ascii=False).encode()
        if not _is_flat(value):
            raise RecursionError
    except RecursionError:
        raise ValueError(
            f"{where}: expected JSON, found more than {_DEEPEST} lists and objects in "
            "one another"
        ) from None
    except ValueError as error:
        head = text if isinstance(text, bytes) else text[:_HEAD].encode(errors="ignore")
        found = what_a_text_is(head) or error
        raise ValueError(f"{where}: expected JSON, found {found}") from None
    return value


def read_json(path: Path, *, strict: bool = False) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        strict: As for `parse_json`, of a file that somebody else wrote: such a one may
            be in any encoding that `files.text` knows. Ours are in UTF-8, so that
            damage is noticed.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
        ValueError: As `parse_json`.
    """
    with naming(path):
        text = read_text(path) if strict else path.read_bytes()
    return parse_json(text, path, strict=strict)


def read_object(
    path: Path, keys: Iterable[str] = (), *, strict: bool = False
) -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        path: The file.
        keys: That it must have.
        strict: As for `parse_json`.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
        ValueError: It is something else, or a key is missing.
    """
    value = read_json(path, strict=strict)
    if not isinstance(value, dict):
        raise ValueError(
            f"{path}: expected a JSON object, found {type(value).__name__}"
        )
    missing = [key for key in keys if key not in value]
    if missing:
        raise ValueError(
            f"{path}: expected {', '.join(keys)}, found no {', '.join(missing)}"
        )
    return value


def json_text(value: Any) -> str:
    """The text of a value for people and programs, one text for a value."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def checksum_of(value: Any) -> str:
    """SHA-256 of the text of a value."""
    return hashlib.sha256(json_text(value).encode()).hexdigest()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """An object that ends in a checksum of the rest."""
    return {**values, "checksum": checksum_of(values)}


def check_seal(values: Mapping[str, Any], where: object) -> None:
    """Compares an object with its checksum; one without, of earlier versions, passes.

    Raises:
        ValueError: it is not as `sealed` made it.
    """
    rest = dict(values)
    if rest.pop("checksum", None) not in (None, checksum_of(rest)):
        raise ValueError(f"{where}: damaged or edited: differs from its checksum")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file completely or not at all, in ASCII.

    Raises:
        OSError: The disk did not take it; a file that was there before still is.
    """
    write_whole(path, json.dumps(value, indent=1) + "\n")


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"a key twice in one object ({key!r})")
        values[key] = value
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no JSON")


_STRICT = {"object_pairs_hook": _unique, "parse_constant": _refuse_constant}
