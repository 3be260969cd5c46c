"""genMuseums: screenshots and texts in a repository that its own `utils.py` explains.

The paintings that hang in the museums are SemArt's, and the videos have a repository
of their own; both are separate downloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hm3_jax.data.importers.hm3 import theme_of
from hm3_jax.data.importers.museum_package import MuseumPackage
from hm3_jax.data.museum import ARTWORK_KINDS, SPLITS
from hm3_jax.data.picture_formats import VIDEO_SUFFIXES
from hm3_jax.data.raw_museum import RawArtwork, RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import (
    InputRoot,
    RawSet,
    files_below,
    only_complete,
    some_of,
)
from hm3_jax.data.raw_sources.semart import read_semart_artworks


def read_genmuseums(
    folder: Path,
    *,
    semart: Path | None = None,
    videos: Path | None = None,
    root: Path | None = None,
) -> RawSet:
    """Reads genMuseums by asking its `utils.py`. This runs its code.

    Args:
        folder: The data set's repository.
        semart: SemArt's folder, or None to leave the paintings out.
        videos: Folder that the video files lie in or below, named by their ids, or
            None to leave the videos out.
        root: The input root; the least folder that holds the others if None.

    Returns:
        The museums in published order, and the artworks that hang in them.

    Raises:
        FileNotFoundError: If a folder or `utils.py` is missing.
        ValueError: If `utils.py` fails or contradicts itself, or a painting is not
            in SemArt.
    """
    folders = [folder, *(given for given in (semart, videos) if given is not None)]
    input_root = InputRoot(folders, root)
    package = MuseumPackage(folder.resolve())
    kinds = [
        kind for kind in ARTWORK_KINDS if {"images": semart, "videos": videos}[kind]
    ]
    museums, notes = only_complete(_museums(package, input_root, kinds))
    artworks: list[RawArtwork] = []
    if semart is not None:
        artworks += _paintings(semart.resolve(), input_root, _hung(museums, "images"))
    if videos is not None:
        hung = _hung(museums, "videos")
        found, missing = _videos(videos.resolve(), input_root, hung)
        artworks += found
        if missing:
            notes.append(f"videos without a file: {some_of(missing)}")
    for kind, given in (("semart", semart), ("videos", videos)):
        if given is None:
            what = "paintings" if kind == "semart" else "videos"
            notes.append(f"{what} left out: there is no --{kind}")
    return RawSet(input_root.path, museums, artworks, tuple(notes))


def _museums(
    package: MuseumPackage, root: InputRoot, kinds: Sequence[str]
) -> Iterable[RawMuseum]:
    descriptions = package.descriptions()
    for split in SPLITS:
        for museum in package.museums(split):
            if museum.count("_") < 2:
                raise ValueError(
                    f"{package.file}: expected ids whose last two of three or more "
                    f"'_'-separated fields name the theme, found {museum!r}"
                )
            texts, by_room = descriptions.get(museum, ([], None))
            yield RawMuseum(
                id=museum,
                split=split,
                theme=theme_of(museum),
                description=tuple(texts) if not by_room else tuple(map(tuple, by_room)),
                rooms=_rooms(package, museum, root, kinds),
            )


def _rooms(
    package: MuseumPackage, museum: str, root: InputRoot, kinds: Sequence[str]
) -> tuple[RawRoom, ...]:
    screenshots = package.screenshots(museum)
    hung = package.artworks_by_room(museum)
    for kind in kinds:
        if len(hung[kind]) != len(screenshots):
            raise ValueError(
                f"{package.file}: museum {museum!r}: expected {kind} for "
                f"{len(screenshots)} rooms, as many as have screenshots, found them "
                f"for {len(hung[kind])}"
            )
    return tuple(
        RawRoom(
            tuple(root.relative(file) for file in files),
            **{kind: tuple(hung[kind][number]) for kind in kinds},
            title=None,
        )
        for number, files in enumerate(screenshots)
    )


def _hung(museums: Iterable[RawMuseum], kind: str) -> list[str]:
    """Ids of the artworks of a kind, each once, in the order of their first place."""
    return list(
        dict.fromkeys(
            artwork
            for museum in museums
            for room in museum.rooms
            for artwork in getattr(room, kind)
        )
    )


def _paintings(folder: Path, root: InputRoot, hung: Sequence[str]) -> list[RawArtwork]:
    known = {artwork.id: artwork for artwork in read_semart_artworks(folder, root)}
    unknown = [painting for painting in hung if painting not in known]
    if unknown:
        raise ValueError(
            f"{folder}: expected all paintings that hang in the museums, found no "
            f"{some_of(unknown)}"
        )
    return [known[painting] for painting in hung]


def _videos(
    folder: Path, root: InputRoot, hung: Sequence[str]
) -> tuple[list[RawArtwork], list[str]]:
    """Artworks for videos, and the ids of those without a file.

    These keep the place where the file is expected: what reads the list can say more.
    """
    files: dict[str, list[Path]] = {}
    for path in files_below(folder):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            for name in (path.name, path.stem):
                files.setdefault(name, []).append(path)
    artworks, missing = [], []
    for video in hung:
        places = files.get(video, [])
        if len(places) > 1:
            raise ValueError(
                f"{folder}: expected one file for video {video!r}, found {places[0]} "
                f"and {places[1]}"
            )
        if not places:
            missing.append(video)
        place = places[0] if places else folder / f"{video.removesuffix('.mp4')}.mp4"
        artworks.append(RawArtwork(video, root.relative(place)))
    if missing and len(missing) == len(hung):
        raise FileNotFoundError(
            f"{folder}: expected the museums' videos, found none of {some_of(hung)}"
        )
    return artworks, missing
