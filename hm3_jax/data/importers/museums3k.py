"""Imports Museums3k, whose features are OpenCLIP ViT-B-32 laion2b_s34b_b79k."""

from __future__ import annotations

from pathlib import Path

from hm3_jax.data.importers.common import (
    UNSTATED,
    ImportedSet,
    ModelFacts,
    require_folder,
)
from hm3_jax.data.importers.tensor_files import TensorFiles, read_tensor_files
from hm3_jax.files.left_behind import is_left_behind

VIEWS_PER_ROOM = 12
INDICES = "indices_museum_dataset.pkl"
MODEL = ModelFacts("ViT-B-32", "laion2b_s34b_b79k")


def read_museums3k(folder: Path, *, model: ModelFacts = UNSTATED) -> ImportedSet:
    """Reads Museums3k as published: rooms of 12 views, each museum its own theme.

    Args:
        folder: Folder with `open_clip_features_museums3k` (or `tmp_museums` around it)
            and `indices_museum_dataset.pkl`, whose indices are into the sorted names.
        model: Model names that override the published ones.

    Raises:
        FileNotFoundError: If the folder or a file that it should have is missing.
        ValueError: If a file does not hold what it should; more is found while the
            museums are iterated and written.
    """
    features = feature_folder(folder)
    files = [
        TensorFiles(
            name_of_file(file),
            views=file,
            sentences=features / "descriptions" / "sentences" / file.name,
        )
        for file in feature_files(features)
    ]
    return read_tensor_files(
        "museums3k",
        sorted(files, key=lambda file: file.name),
        folder / INDICES,
        VIEWS_PER_ROOM,
        model.or_else(MODEL),
    )


def feature_folder(folder: Path) -> Path:
    """Museums3k's features, in the folder or in the download placed in it.

    Raises:
        FileNotFoundError: If they are in neither place.
    """
    require_folder(folder, "Museums3k")
    features = folder / "open_clip_features_museums3k"
    if not features.is_dir():
        # The download as it is, which the published README says to place there.
        features = folder / "tmp_museums" / "open_clip_features_museums3k"
    require_folder(features / "images", "Museums3k's features")
    return features


def feature_files(features: Path) -> list[Path]:
    """Files of the views of a museum each, in no order.

    Args:
        features: What `feature_folder` returns.
    """
    # One too many would shift all indices.
    files = (features / "images").glob("*.pt")
    return [file for file in files if not is_left_behind(file.name)]


def name_of_file(file: Path) -> str:
    """The published name of a file's museum, by whose order the indices count.

    It has lost these characters at both ends, and not the suffix.
    """
    return file.name.strip(".pt")
