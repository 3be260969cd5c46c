"""A data set's own `utils.py`, which knows what hangs where. Asking it runs it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hm3_jax.data.museum import ARTWORK_KINDS

Rooms = Sequence[Sequence[str]]
"""Artwork ids, sentences or paths by room."""

_QUESTIONS = ("getMuseumList", "getMuseumArtWorksPerRoom")


class MuseumPackage:
    """Asks a `utils.py` one question at a time, and names it where it fails.

    Attributes:
        file: The `utils.py`.
    """

    def __init__(self, folder: Path):
        """Imports `utils.py`. This runs its code.

        Args:
            folder: A folder whose `utils.py` offers, as functions or as methods of
                its only such class, `getMuseumList(split)` and
                `getMuseumArtWorksPerRoom(id)`, and what other questions need.

        Raises:
            FileNotFoundError: If there is no `utils.py` in the folder.
            ValueError: If it does not offer these, or fails.
        """
        self.file = folder / "utils.py"
        if not self.file.is_file():
            raise FileNotFoundError(
                f"{self.file}: expected a data set's utils.py, found none"
            )
        self._package = self._ask("its import", lambda: _load(self.file))

    def museums(self, split: str) -> list[str]:
        """Ids of a split's museums. Raises ValueError if there is no answer."""
        return self._ask(
            f"getMuseumList({split!r})",
            lambda: [str(museum) for museum in self._package.getMuseumList(split)],
        )

    def artworks_by_room(self, museum: str) -> dict[str, Rooms]:
        """Artwork ids by room, of "images" and "videos". Raises ValueError likewise."""

        def answer() -> dict[str, Rooms]:
            images, videos = self._package.getMuseumArtWorksPerRoom(museum)
            return {
                kind: [[str(artwork) for artwork in room] for room in rooms]
                for kind, rooms in zip(ARTWORK_KINDS, (images, videos), strict=True)
            }

        return self._ask(f"getMuseumArtWorksPerRoom({museum!r})", answer)

    def has_descriptions(self) -> bool:
        """Whether `descriptions` has an answer."""
        return hasattr(self._package, "loadDesc")

    def descriptions(self) -> dict[str, tuple[list[str], Rooms | None]]:
        """Sentences of each museum, and the same by room where they come so.

        Raises:
            ValueError: If `loadDesc()` or `flattenDescriptionList(nested)` fails.
        """

        def answer() -> dict[str, tuple[list[str], Rooms | None]]:
            flatten = self._package.flattenDescriptionList
            return {
                str(museum): ([str(text) for text in flatten(nested)], _by_room(nested))
                for museum, nested in self._package.loadDesc().items()
            }

        return self._ask("loadDesc()", answer)

    def screenshots(self, museum: str) -> list[list[Path]]:
        """Files of a museum's screenshots by room, whether they exist or not.

        The published interface hands over pictures. They are not decoded: while the
        question is asked, `PIL.Image.open` only notes which file was meant.

        Raises:
            ValueError: If `getMuseumScreenshots(id)` fails, or answers with pictures
                that were not opened with `PIL.Image.open`.
        """

        def answer() -> list[list[Path]]:
            with _unopened_pictures():
                return [
                    [_file_of(picture) for picture in room]
                    for room in self._package.getMuseumScreenshots(museum)
                ]

        return self._ask(f"getMuseumScreenshots({museum!r})", answer)

    def _ask(self, question: str, answer: Callable[[], Any]) -> Any:
        try:
            return answer()
        except Exception as error:
            raise ValueError(
                f"{self.file}: expected an answer to {question}, found "
                f"{type(error).__name__}: {error}"
            ) from error


def _load(file: Path) -> Any:
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
                f"expected {' and '.join(_QUESTIONS)} as functions or methods of one "
                f"class, found {len(classes)} such classes"
            )
        return _instance(classes[0])
    finally:
        sys.path.remove(str(file.parent))


def _instance(of: type) -> Any:
    required = [
        parameter
        for parameter in inspect.signature(of).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    # The published class takes the name of its table, and is always given this one.
    return of("metadata") if len(required) == 1 else of()


def _answers(candidate: object) -> bool:
    return all(hasattr(candidate, name) for name in _QUESTIONS)


def _by_room(nested: Any) -> Rooms | None:
    """Lists of sentences as they are; None for any other nesting."""
    if isinstance(nested, list | tuple) and all(
        isinstance(room, list | tuple) and all(isinstance(text, str) for text in room)
        for room in nested
    ):
        return [list(room) for room in nested]
    return None


class _Unopened:
    """Stands for an opened picture: whatever is done to it, it is that file's."""

    def __init__(self, file: Any, *_: Any, **__: Any):
        # A file that is open already knows its name.
        self.filename = os.fspath(getattr(file, "name", file))

    def __enter__(self) -> _Unopened:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., _Unopened]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: self


@contextmanager
def _unopened_pictures() -> Iterator[None]:
    try:
        from PIL import Image
    except ModuleNotFoundError:  # then the package cannot be opening pictures with it
        yield
        return
    opened = Image.open
    Image.open = _Unopened  # type: ignore[assignment]
    try:
        yield
    finally:
        Image.open = opened


def _file_of(picture: Any) -> Path:
    name = picture if isinstance(picture, str | Path) else _name_of(picture)
    if not name:
        raise ValueError(
            "expected paths, or pictures that PIL.Image.open opened, found "
            f"{type(picture).__name__}"
        )
    return Path(os.path.abspath(name))


def _name_of(picture: Any) -> str | None:
    name = getattr(picture, "filename", None)
    return name if isinstance(name, str) else None
