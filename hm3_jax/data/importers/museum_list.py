"""Which museum is in which split, and which artworks hang in which room.

The published feature sets leave this to the data set's own repository. It is read
either from a `museums.json`, or from that repository's `utils.py`, which is code.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.data.importers.common import read_json, refuse_duplicates
from hm3_jax.data.museum import ARTWORK_KINDS, SPLITS

Rooms = Sequence[Sequence[str]]
"""Artwork ids by room."""


@dataclasses.dataclass(frozen=True, slots=True)
class MuseumList:
    """Splits, artworks by room and sentences of a set of museums.

    Attributes:
        source: The file or folder it came from.
        splits: Museum ids of each split, in published order.
        hung: For "images" and "videos", artwork ids by room of each museum; a kind
            that the data set does not have is left out.
        sentences: Sentences of each museum, or None.
    """

    source: Path
    splits: Mapping[str, Sequence[str]]
    hung: Mapping[str, Mapping[str, Rooms]]
    sentences: Mapping[str, Sequence[str]] | None

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown split, no museum, or one named twice."""
        if not self.splits or not set(self.splits) <= set(SPLITS):
            raise ValueError(
                f"{self.source}: expected splits of {', '.join(SPLITS)}, found "
                f"{', '.join(self.splits) or 'none'}"
            )
        refuse_duplicates(
            (museum for ids in self.splits.values() for museum in ids),
            f"{self.source}: splits",
        )


def read_museum_json(path: Path) -> MuseumList:
    """Reads `museums.json`.

    Args:
        path: A file `{"splits": {split: [id]}, "videos": {id: [[video id] by room]},
            "images": {same, optional}, "sentences": {id: [text]} (optional)}`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is anything else.
    """
    values = read_json(path)
    unknown = set(values) - {"splits", "sentences", *ARTWORK_KINDS}
    if unknown or "splits" not in values:
        raise ValueError(
            f"{path}: expected the keys splits, videos, images, sentences, found "
            f"{', '.join(values)}"
        )
    for key, column in values.items():
        depth = 2 if key in ARTWORK_KINDS else 1
        if not isinstance(column, dict) or not all(
            _is_nested(item, depth) for item in column.values()
        ):
            raise ValueError(
                f"{path}: {key}: expected an object of {'lists of ' * depth}strings"
            )
    return MuseumList(
        source=path,
        splits={name: values["splits"][name] for name in _by_order(values["splits"])},
        hung={
            kind: values[kind]
            for kind in ARTWORK_KINDS
            if _any_hung(values.get(kind, {}))
        },
        sentences=values.get("sentences"),
    )


def read_museum_package(folder: Path) -> MuseumList:
    """Asks a data set's own `utils.py`. This runs its code.

    Args:
        folder: A folder whose `utils.py` offers, as functions or as methods of its
            only such class, `getMuseumList(split)`, `getMuseumArtWorksPerRoom(id)`
            and possibly `loadDesc()` with `flattenDescriptionList(nested)`.

    Raises:
        FileNotFoundError: If there is no `utils.py` in the folder.
        ValueError: If it does not offer these, fails, or answers with other things.
    """
    file = folder / "utils.py"
    if not file.is_file():
        raise FileNotFoundError(f"{file}: expected a data set's utils.py, found none")
    package = _ask(file, "its import", _load_package, file)
    splits = {
        split: _ask(file, f"getMuseumList({split!r})", _museums, package, split)
        for split in SPLITS
    }
    hung: dict[str, dict[str, Rooms]] = {kind: {} for kind in ARTWORK_KINDS}
    for museum in (museum for ids in splits.values() for museum in ids):
        question = f"getMuseumArtWorksPerRoom({museum!r})"
        by_kind = _ask(file, question, _artworks_by_room, package, museum)
        for kind, rooms in by_kind.items():
            hung[kind][museum] = rooms
    sentences = None
    if hasattr(package, "loadDesc"):
        sentences = _ask(file, "loadDesc()", _sentences, package)
    return MuseumList(
        source=file,
        splits={split: ids for split, ids in splits.items() if ids},
        hung={kind: by_id for kind, by_id in hung.items() if _any_hung(by_id)},
        sentences=sentences,
    )


def _museums(package: Any, split: str) -> list[str]:
    return [str(museum) for museum in package.getMuseumList(split)]


def _artworks_by_room(package: Any, museum: str) -> dict[str, Rooms]:
    images, videos = package.getMuseumArtWorksPerRoom(museum)
    return {
        kind: [[str(artwork) for artwork in room] for room in rooms]
        for kind, rooms in (("images", images), ("videos", videos))
    }


def _sentences(package: Any) -> dict[str, list[str]]:
    return {
        str(museum): [str(text) for text in package.flattenDescriptionList(nested)]
        for museum, nested in package.loadDesc().items()
    }


def _load_package(file: Path) -> Any:
    """The module, or an instance of the class in it, that answers the questions."""
    # Such a file imports its neighbours as if its folder were the working one.
    sys.path.insert(0, str(file.parent))
    try:
        spec = importlib.util.spec_from_file_location("hm3_museum_package", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if _answers(module):
            return module
        classes = [
            member
            for _, member in inspect.getmembers(module, inspect.isclass)
            if _answers(member) and member.__module__ == module.__name__
        ]
        if len(classes) != 1:
            raise ValueError(
                "expected getMuseumList and getMuseumArtWorksPerRoom as functions or "
                f"methods of one class, found {len(classes)} such classes"
            )
        return classes[0]()
    finally:
        sys.path.remove(str(file.parent))


def _answers(candidate: object) -> bool:
    return all(
        hasattr(candidate, name)
        for name in ("getMuseumList", "getMuseumArtWorksPerRoom")
    )


def _ask(file: Path, question: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        raise ValueError(
            f"{file}: expected an answer to {question}, found "
            f"{type(error).__name__}: {error}"
        ) from error


def _any_hung(by_id: Mapping[str, Rooms]) -> bool:
    return any(room for rooms in by_id.values() for room in rooms)


def _by_order(splits: Mapping[str, Any]) -> list[str]:
    """The known splits in their order, then any unknown one."""
    return sorted(splits, key=lambda name: (*SPLITS, name).index(name))


def _is_nested(value: object, depth: int) -> bool:
    """Whether `value` is a list of lists ... of strings, `depth` lists deep."""
    if depth == 0:
        return isinstance(value, str)
    return isinstance(value, list) and all(
        _is_nested(item, depth - 1) for item in value
    )
