"""Imports the apartments of AdOCTeRA and FArMARe: one room each, each its own theme."""

from __future__ import annotations

from pathlib import Path

from hm3_jax.data.importers.common import (
    UNSTATED,
    ImportedSet,
    ModelFacts,
    require_folder,
)
from hm3_jax.data.importers.tensor_files import TensorFiles, read_tensor_files
from hm3_jax.files.text import read_text

_VIEWS, _SENTENCES = "images_", "descriptions_"


def read_apartments(
    folder: Path, features_of: str | None = None, *, model: ModelFacts = UNSTATED
) -> ImportedSet:
    """Reads the apartments as published.

    Args:
        folder: Folder with `open_clip_features`, `train_evaluation/data` and `indices`.
        features_of: MODEL of the folders `images_MODEL` and `descriptions_MODEL`; may
            be None where there is one.
        model: Model names that override MODEL, of which the part before its first `_`
            is the architecture and the rest the weights.

    Raises:
        FileNotFoundError: If the folder or a file that it should have is missing.
        ValueError: If there are features of several models and none is chosen, or a
            file does not hold what it should; more is found while the museums are
            iterated and written.
    """
    require_folder(folder, "apartments")
    features = folder / "open_clip_features"
    require_folder(features, "apartments' features")
    name = _choose_model(features, features_of)
    views = features / f"{_VIEWS}{name}"
    sentences = features / f"{_SENTENCES}{name}" / "sentences"
    available = folder / "train_evaluation" / "data" / "available_data.txt"
    if not available.is_file():
        raise FileNotFoundError(f"{available}: expected a list of ids, found none")
    architecture, _, weights = name.partition("_")
    return read_tensor_files(
        "apartments",
        [
            TensorFiles(id, views / f"{id}.pt", sentences / f"{id}.pt")
            for id in read_text(available).split()
        ],
        folder / "indices" / "indices.pkl",
        None,
        model.or_else(ModelFacts(architecture, weights or None)),
    )


def _choose_model(features: Path, chosen: str | None) -> str:
    """The model whose features are in both folders: the chosen or the only one."""
    choices = sorted(
        views.name.removeprefix(_VIEWS)
        for views in features.glob(f"{_VIEWS}*")
        if (features / views.name.replace(_VIEWS, _SENTENCES, 1)).is_dir()
    )
    found = ", ".join(choices) or "none"
    if chosen is not None and chosen not in choices:
        raise ValueError(
            f"{features}: expected features of model {chosen!r}, found {found}"
        )
    if chosen is None and len(choices) != 1:
        raise ValueError(
            f"{features}: expected features of one model or --apartments_model, found "
            f"{found}"
        )
    return chosen or choices[0]
