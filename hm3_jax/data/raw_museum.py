"""Museums before extraction: texts and names of files, and their form in JSON.

The readers here check one JSON object at a time and say where it went wrong; they
accept what `hm3_jax/data/schemas/` accepts. What takes the whole list (ids that occur
twice, unknown artworks) is checked in `hm3_jax.data.museum_jsonl`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hm3_jax.data.museum import SPLITS, check_id, check_name
from hm3_jax.files.input_kinds import ARTWORK_KINDS, ROOM_KINDS

Description = str | tuple[str, ...] | tuple[tuple[str, ...], ...]
"""One text, or its sentences, or its sentences by room."""

_MUSEUM_KEYS = ("id", "split", "theme", "rooms")
_OF_MUSEUMS = ("description", "title")
_ARTWORK_KEYS = ("id", "path")

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_OUTSIDE = re.compile(r"^/|(^|/)\.\.(/|$)")


@dataclasses.dataclass(frozen=True, slots=True)
class RawRoom:
    """One room of a museum.

    Attributes:
        views: Paths of the room's screenshots, in order; at least one.
        images: Artwork ids or paths of the paintings hung in the room, in order.
        videos: Artwork ids or paths of the videos shown in the room, in order.
        title: Name to show to people, or None.
    """

    views: tuple[str, ...]
    images: tuple[str, ...] = ()
    videos: tuple[str, ...] = ()
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RawMuseum:
    """One museum with its description.

    Attributes:
        id: Unique name of the museum.
        split: One of `hm3_jax.data.museum.SPLITS`.
        theme: Name of the museum's theme (category).
        description: One text, or its sentences, or its sentences by room; there is
            a sentence that is not blank. Empty where there is no description: the
            museum is found by its pictures only.
        rooms: The museum's rooms, in order; at least one.
        title: Name to show to people, or None.
    """

    id: str
    split: str
    theme: str
    description: Description
    rooms: tuple[RawRoom, ...]
    title: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RawArtwork:
    """A painting or video that museums refer to by its id.

    Attributes:
        id: Unique name of the artwork.
        path: Its file.
        title: Name to show to people, or None.
        facts: Whatever else is known about it (JSON values).
    """

    id: str
    path: str
    title: str | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def museum_from_json(value: object, where: str) -> RawMuseum:
    """Reads one line of `museums.jsonl`.

    Args:
        value: The parsed line.
        where: What to name in messages, "FILE:LINE".

    Raises:
        ValueError: If it is not a museum as `museum.schema.json` has it.
    """
    fields = _fields(value, _MUSEUM_KEYS, _OF_MUSEUMS, where)
    check_id(fields["id"], f"{where}: id")
    here = f"{where}: museum {fields['id']!r}"
    if fields["split"] not in SPLITS:
        raise ValueError(
            f"{here}: expected a split of {', '.join(SPLITS)}, found "
            f"{fields['split']!r}"
        )
    check_name(fields["theme"], f"{here}: theme")
    rooms = _filled_list(fields["rooms"], f"{here}: rooms", "rooms")
    description: Description = ()
    if "description" in fields:
        description = _description(fields["description"], f"{here}: description")
    return RawMuseum(
        id=fields["id"],
        split=fields["split"],
        theme=fields["theme"],
        description=description,
        rooms=tuple(
            _room(room, f"{here}, room {number}") for number, room in enumerate(rooms)
        ),
        title=_title(fields, here),
    )


def museum_to_json(museum: RawMuseum) -> dict[str, Any]:
    """The JSON object that `museum_from_json` reads; empty lists are left out."""
    rooms = [
        {
            key: list(files)
            for key in ROOM_KINDS
            if (files := getattr(room, key)) or key == "views"
        }
        | _title_json(room.title)
        for room in museum.rooms
    ]
    description = museum.description
    if not isinstance(description, str):
        description = [
            part if isinstance(part, str) else list(part) for part in description
        ]
    return {
        "id": museum.id,
        "split": museum.split,
        "theme": museum.theme,
        **({"description": description} if description else {}),
        "rooms": rooms,
        **_title_json(museum.title),
    }


def sentences_of(description: Description) -> list[str]:
    """The sentences of a description, of one room after the other.

    A description of one text is one item.
    """
    parts = (description,) if isinstance(description, str) else description
    return [
        sentence
        for part in parts
        for sentence in ((part,) if isinstance(part, str) else part)
    ]


def artwork_from_json(value: object, where: str) -> RawArtwork:
    """Reads one line of `artworks.jsonl`.

    Args:
        value: The parsed line.
        where: What to name in messages, "FILE:LINE".

    Raises:
        ValueError: If it is not an artwork as `artwork.schema.json` has it.
    """
    fields = _fields(value, _ARTWORK_KEYS, None, where)
    check_id(fields["id"], f"{where}: id")
    here = f"{where}: artwork {fields['id']!r}"
    check_path(fields["path"], f"{here}: path")
    known = {*_ARTWORK_KEYS, "title"}
    return RawArtwork(
        id=fields["id"],
        path=fields["path"],
        title=_title(fields, here),
        facts={key: value for key, value in fields.items() if key not in known},
    )


def artwork_to_json(artwork: RawArtwork) -> dict[str, Any]:
    """The JSON object that `artwork_from_json` reads."""
    title = _title_json(artwork.title)
    return {"id": artwork.id, "path": artwork.path} | title | dict(artwork.facts)


def check_path(path: object, what: str) -> None:
    """Raises ValueError unless `path` is a relative path that stays where it starts.

    Only the text is looked at. Links are followed where the file is looked up.
    """
    if not isinstance(path, str) or not path or _UNPRINTABLE.search(path):
        raise ValueError(
            f"{what}: expected a path without control characters, found {path!r}"
        )
    if "\\" in path:
        raise ValueError(f"{what}: expected / between folders, found {path!r}")
    if _OUTSIDE.search(path):
        raise ValueError(
            f"{what}: expected a path inside the input root (relative, without ..), "
            f"found {path!r}"
        )


def _room(value: object, where: str) -> RawRoom:
    fields = _fields(value, ("views",), (*ARTWORK_KINDS, "title"), where)
    views = _filled_list(fields["views"], f"{where}: views", "paths of pictures")
    for path in views:
        check_path(path, f"{where}, views")
    hung: dict[str, tuple[str, ...]] = {}
    for kind in ARTWORK_KINDS:
        listed = _list(fields.get(kind, []), f"{where}: {kind}", "ids or paths")
        hung[kind] = tuple(listed)
        for reference in hung[kind]:
            check_name(reference, f"{where}, {kind}")
    title = _title(fields, where)
    return RawRoom(tuple(views), **hung, title=title)


def _description(value: object, where: str) -> Description:
    texts: Sequence[object]
    if isinstance(value, list) and value and isinstance(value[0], list):
        by_room = tuple(
            tuple(_list(room, f"{where}, room {number}", "sentences"))
            for number, room in enumerate(value)
        )
        description, texts = by_room, [text for room in by_room for text in room]
    elif isinstance(value, list):
        description, texts = tuple(value), value
    elif isinstance(value, str):
        description, texts = value, [value]
    else:
        raise ValueError(
            f"{where}: expected a text, a list of sentences or lists of sentences by "
            f"room, found {_kind(value)}"
        )
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{where}: expected a sentence, found {_kind(text)}")
    if not any(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{where}: expected text, found none")
    return description


def _title(fields: Mapping[str, Any], where: str) -> str | None:
    if "title" not in fields:
        return None
    check_name(fields["title"], f"{where}: title")
    return fields["title"]


def _title_json(title: str | None) -> dict[str, str]:
    return {} if title is None else {"title": title}


def _fields(
    value: object, required: Sequence[str], optional: Sequence[str] | None, where: str
) -> dict[str, Any]:
    """An object that has the required keys; None for optional allows any others."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, found {_kind(value)}")
    missing = [key for key in required if key not in value]
    if missing:
        raise ValueError(
            f"{where}: expected the keys {', '.join(required)}, found no "
            f"{' and no '.join(missing)}"
        )
    if optional is not None:
        known = (*required, *optional)
        unknown = [key for key in value if key not in known]
        if unknown:
            raise ValueError(
                f"{where}: expected only the keys {', '.join(known)}, found "
                f"{', '.join(map(repr, unknown))}"
            )
    return value


def _list(value: object, where: str, of: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list of {of}, found {_kind(value)}")
    return value


def _filled_list(value: object, where: str, of: str) -> list[Any]:
    items = _list(value, where, of)
    if not items:
        raise ValueError(f"{where}: expected at least one of the {of}, found none")
    return items


def _kind(value: object) -> str:
    """What a parsed value is called in JSON, or the value itself where it is short."""
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
