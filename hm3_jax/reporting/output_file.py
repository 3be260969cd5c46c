"""Loads `test_output.json`, which holds millions of numbers.

Read as a whole, its floats are a hundred megabytes of Python objects, and finding
memory for them takes longer than reading their digits. So the embeddings are cut out
and read a row at a time, and the rest, which is small, is read as it is.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

EMBEDDINGS = ("output_description_test", "output_pov_test")
"""What a try has embeddings under: of the descriptions, and of the museums."""

_KEYS = tuple(b'"%b":[[' % key.encode() for key in EMBEDDINGS)


def load_output(path: Path) -> list[dict[str, Any]]:
    """Loads what each try wrote.

    Returns:
      An object a try. Embeddings are float32 arrays (museums, size) where the file is
      as training writes it, and lists otherwise: of other spacing, or damaged.

    Raises:
      FileNotFoundError: there is no such file.
      ModuleNotFoundError: orjson is not installed.
      ValueError: it is no list of objects, or not to be read.
    """
    try:
        import orjson
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "reading tests needs orjson: pip install 'hm3_jax[analysis]'"
        ) from None
    try:
        content = path.read_bytes()
        try:
            tries = _load_cut(content)
        except ValueError:
            tries = orjson.loads(content)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: expected the tries' tests, found none"
        ) from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(tries, list) or not all(isinstance(t, dict) for t in tries):
        raise ValueError(f"{path}: expected a list of tries, found something else")
    return tries


def _load_cut(content: bytes) -> Any:
    """Reads a file that is as training writes it, embeddings as arrays.

    Raises:
      ValueError: it is not.
    """
    import orjson

    kept, arrays, at = [], [], 0
    for start, end in _places(content):
        # Its number stands where the array was.
        kept += [content[at:start], b"%d" % len(arrays)]
        arrays.append(_rows(content[start:end]))
        at = end
    tries = orjson.loads(b"".join([*kept, content[at:]]))
    if not isinstance(tries, list) or not all(isinstance(t, dict) for t in tries):
        raise ValueError("no list of tries")
    cut = [(entry, key) for entry in tries for key in EMBEDDINGS if key in entry]
    # A number that was there before, or two arrays of one name, would be mistaken.
    if sorted(str(entry[key]) for entry, key in cut) != sorted(
        map(str, range(len(arrays)))
    ):
        raise ValueError("not arrays alone")
    for entry, key in cut:
        entry[key] = arrays[entry[key]]
    return tries


def _places(content: bytes) -> list[tuple[int, int]]:
    """Where embeddings begin and end, in order.

    No text holds what is looked for: there its quotation marks have a backslash.
    """
    places, at = [], 0
    while (at := content.find(b'"output_', at)) >= 0:
        before = next((key for key in _KEYS if content.startswith(key, at)), None)
        at += 1
        if before is None:
            continue
        start = at - 1 + len(before) - len(b"[[")
        # There is no quotation mark among numbers; one byte is found fastest.
        after = content.find(b'"', start)
        at = content.rfind(b"]]", start, after if after >= 0 else None) + len(b"]]")
        if at < start:
            raise ValueError("without an end")
        places.append((start, at))
    return places


def _rows(text: bytes) -> Float[np.ndarray, "rows size"]:
    import orjson

    rows = text[2:-2].split(b"],[")
    array = np.empty((len(rows), rows[0].count(b",") + 1), np.float32)
    # Twice as fast as numpy takes a list.
    packed, buffer = struct.Struct(f"{array.shape[1]}f"), array.data.cast("B")
    try:
        for number, row in enumerate(rows):
            values = orjson.loads(b"[%b]" % row)
            packed.pack_into(buffer, number * packed.size, *values)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"no rows of float32: {error}") from None
    return array
