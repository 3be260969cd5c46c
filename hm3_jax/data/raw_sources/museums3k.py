"""Museums3k: sentences beside the published features, and a folder of screenshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hm3_jax.data.importers.museums3k import (
    INDICES,
    VIEWS_PER_ROOM,
    feature_files,
    feature_folder,
    name_of_file,
)
from hm3_jax.data.importers.tensor_files import load_split_indices
from hm3_jax.data.picture_formats import PICTURE_SUFFIXES
from hm3_jax.data.raw_museum import RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import (
    InputRoot,
    LeftOut,
    RawSet,
    listing,
    only_complete,
)
from hm3_jax.files.words import counted
from hm3_jax.interop.torch_files import load_tensors


def read_museums3k_raw(
    folder: Path, *, pictures: Path, root: Path | None = None
) -> RawSet:
    """Reads Museums3k: each museum is its own theme; no paintings, no videos.

    Names, splits and sentences come from the download that has the features too, so
    that museums, ids and splits are those of the published experiments.

    Args:
        folder: Folder with `tmp_museums` (whose `open_clip_features_museums3k` has
            `images/NAME.pt`, for the names, and `descriptions/tokens_strings/
            NAME.pkl`, lists of sentences) and `indices_museum_dataset.pkl`.
        pictures: Folder with a folder of screenshots for each museum, named NAME or
            NAME without `.unity`. In it each folder is a room; without any, every 12
            pictures are one. Both are taken in natural order.
        root: The input root; the least folder that holds the others if None.

    Raises:
        FileNotFoundError: If a folder or file that it should have is missing.
        ValueError: If one does not hold what it should.
    """
    input_root = InputRoot([folder, pictures], root)
    left_out = LeftOut()
    features = feature_folder(folder)
    files = sorted(feature_files(features), key=name_of_file)
    splits = load_split_indices(folder / INDICES, len(files))
    sentences = features / "descriptions" / "tokens_strings"

    def museums() -> Iterator[RawMuseum]:
        for split, indices in splits.items():
            for file in (files[i] for i in indices):
                name = name_of_file(file)
                yield RawMuseum(
                    id=name,
                    split=split,
                    theme=name,
                    description=_sentences(sentences / f"{file.stem}.pkl"),
                    rooms=_rooms(_pictures_of(name, pictures), input_root, left_out),
                )

    kept, notes = only_complete(museums())
    unlisted = len(files) - sum(map(len, splits.values()))
    if unlisted:
        notes.append(f"{counted(unlisted, 'museum')} left out: in no split")
    return RawSet(input_root.path, kept, notes=(*notes, *left_out.notes()))


def _sentences(path: Path) -> tuple[str, ...]:
    texts = load_tensors(path)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"{path}: expected a list of sentences, found {type(texts).__name__}"
        )
    return tuple(text for text in texts if text.strip())


def _pictures_of(name: str, pictures: Path) -> Path:
    for folder in (pictures / name, pictures / name.removesuffix(".unity")):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"{pictures / name}: expected a folder of the museum's screenshots, found none"
    )


def _rooms(folder: Path, root: InputRoot, left_out: LeftOut) -> tuple[RawRoom, ...]:
    found = left_out.without_misnamed(listing(folder))
    rooms = [path for path in found if path.is_dir()]
    if rooms:
        return tuple(
            _room(_pictures(left_out.without_misnamed(listing(room)), left_out), root)
            for room in rooms
        )
    files = _pictures(found, left_out)
    if len(files) % VIEWS_PER_ROOM:
        raise ValueError(
            f"{folder}: expected {VIEWS_PER_ROOM} screenshots for each room, or a "
            f"folder for each, found {len(files)} screenshots in all"
        )
    return tuple(
        _room(files[first : first + VIEWS_PER_ROOM], root)
        for first in range(0, len(files), VIEWS_PER_ROOM)
    )


def _room(files: Sequence[Path], root: InputRoot) -> RawRoom:
    return RawRoom(tuple(root.relative(file) for file in files))


def _pictures(paths: Sequence[Path], left_out: LeftOut) -> list[Path]:
    files = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    left_out.unused(path for path in paths if path not in files)
    return files
