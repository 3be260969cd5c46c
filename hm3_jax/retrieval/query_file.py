"""Files of queries: free descriptions, and what they ought to find where that is known.

A text file has one query a line. A JSON file has a list of objects, a JSON Lines file
one object per line, with `id` and `text`, and possibly `relevant` (ids of the museums
that are described) and `theme`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hm3_jax.files.json_files import parse_json
from hm3_jax.files.text import read_text
from hm3_jax.retrieval.query_text import check_query

_SUFFIXES = (".txt", ".json", ".jsonl")
_FIELDS = {"id", "text", "relevant", "theme"}


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenQuery:
    """A query of a file.

    Attributes:
        id: Unique in the file; of a text file, the number of the line.
        text: What it says.
        where: File and place, for messages.
        relevant: Ids of the museums it describes; empty where that is not known.
        theme: Name of the theme it describes, or None where that is not known.
    """

    id: str
    text: str
    where: str
    relevant: tuple[str, ...] = ()
    theme: str | None = None


def read_query_file(path: Path) -> list[WrittenQuery]:
    """Reads and checks a file of queries.

    Args:
        path: A file named .txt, .json or .jsonl, in capitals or not.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it has another name, has no query, or one that is not as it has
            to be; the message names file and place.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of queries, found none")
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"{path}: expected a file named {', '.join(_SUFFIXES)}, found "
            f"{path.suffix or 'no ending'!r}"
        )
    text = read_text(path)
    queries: list[WrittenQuery] = []
    known: dict[str, str] = {}
    for where, value in _values(path, text):
        query = _query(where, value)
        if query.id in known:
            raise ValueError(
                f"{where}: expected an id of its own, found {query.id!r}, which "
                f"{known[query.id]} has"
            )
        known[query.id] = where
        queries.append(query)
    if not queries:
        raise ValueError(f"{path}: expected queries, found none")
    return queries


def _values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """What is in the file: place, and what ought to be an object."""
    if path.suffix.lower() == ".json":
        values = parse_json(text, path)
        if not isinstance(values, list):
            raise ValueError(
                f"{path}: expected a list of queries, found {_named(values)}"
            )
        for number, value in enumerate(values, 1):
            yield f"{path}, query {number}", value
        return
    # Not splitlines: that cuts at characters which JSON has inside of strings.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            if path.suffix.lower() == ".txt":
                yield where, {"id": str(number), "text": line}
            else:
                yield where, parse_json(line, where)


def _query(where: str, value: Any) -> WrittenQuery:
    if not isinstance(value, dict):
        raise ValueError(
            f"{where}: expected an object with id and text, found {_named(value)}"
        )
    unknown = sorted(value.keys() - _FIELDS)
    if unknown:
        raise ValueError(
            f"{where}: expected the fields {', '.join(sorted(_FIELDS))}, found "
            f"{unknown[0]!r}"
        )
    for field in ("id", "text"):
        if not isinstance(value.get(field), str):
            raise ValueError(
                f"{where}: expected {field} to be text, found "
                f"{_named(value.get(field))}"
            )
    theme, relevant = value.get("theme"), value.get("relevant")
    if theme is not None and not isinstance(theme, str):
        raise ValueError(
            f"{where}: expected theme to be the name of one, found {_named(theme)}"
        )
    relevant = [] if relevant is None else relevant
    if not isinstance(relevant, list) or not all(isinstance(r, str) for r in relevant):
        raise ValueError(
            f"{where}: expected relevant to be a list of museum ids, found "
            f"{_named(relevant)}"
        )
    try:
        text = check_query(value["text"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return WrittenQuery(value["id"], text, where, tuple(dict.fromkeys(relevant)), theme)


def _named(value: Any) -> str:
    """A value of JSON, short enough for a message."""
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:40] + "..."
