"""What an extraction records: to continue it, and for the store's manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.data.museum_jsonl import ARTWORKS, MuseumFiles
from hm3_jax.data.store import FeatureFacts, Manifest, open_store
from hm3_jax.extraction.facts import feature_facts
from hm3_jax.extraction.settings import FeatureSettings
from hm3_jax.extraction.work_folder import WorkFolder
from hm3_jax.files.facts import file_facts


def list_facts(files: MuseumFiles) -> dict[str, Any]:
    """Checksums of the museum list."""
    artworks = files.source.parent / ARTWORKS
    return {
        "museums_sha256": file_facts(files.source).sha256,
        "artworks_sha256": file_facts(artworks).sha256 if artworks.exists() else None,
    }


def settings_facts(settings: FeatureSettings) -> dict[str, Any]:
    """What decides features beside list and model."""
    return {"settings": dataclasses.asdict(settings)}


def store_facts(
    model: Mapping[str, Any], settings: FeatureSettings
) -> dict[str, FeatureFacts]:
    """Facts of every kind; those of library versions and precision are in `origin`."""
    split = settings.text_split
    frames = {
        "frames_per_second": settings.frames_per_second,
        "max_frames": settings.max_frames,
    }
    pooled = settings.video_pooling == "mean"
    return {
        "sentences": feature_facts(
            model,
            "sentences",
            details={
                "text_split_strategy": split.strategy,
                "text_stride": split.stride,
            },
        ),
        "views": feature_facts(model, "views"),
        "images": feature_facts(model, "images"),
        "videos": feature_facts(
            model,
            "videos",
            pooling=settings.video_pooling,
            details=frames if pooled else None,
        ),
    }


def store_origin(facts: Mapping[str, Any]) -> dict[str, Any]:
    """How a store came about, for its manifest, by what its extraction began with."""
    return {
        "made_by": "hm3_jax.extract",
        "museums_sha256": facts["museums_sha256"],
        "artworks_sha256": facts["artworks_sha256"],
        "settings": facts["settings"],
        "precision": facts["model"]["precision"],
        "versions": facts["model"]["versions"],
    }


def finished_store(output: Path, work: WorkFolder) -> Manifest | None:
    """The store, if this very work made it and only its folder is left to remove.

    Raises:
        FileExistsError: There is something that is no store.
    """
    work.restore(output)
    if not output.exists():
        return None
    try:
        manifest = open_store(output).manifest
    except (ValueError, FileNotFoundError):
        raise FileExistsError(
            f"{output}: expected a path to make a store at, found something else"
        ) from None
    if not work.is_left_of(manifest.origin.get("extraction")):
        return None
    work.remove()
    return manifest
