"""What every importer returns, and what several of them do alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.data.museum import ArtworkTable, MuseumRecord, first_repeated
from hm3_jax.data.store_format import FeatureFacts
from hm3_jax.files.text import read_text


@dataclasses.dataclass(frozen=True, slots=True)
class ImportedSet:
    """A data set on its way into a store.

    Attributes:
        dataset_name: Name of the data set.
        museums: The museums; can be iterated once.
        facts: Facts of each kind of feature.
        artworks: Tables of the kinds that the data set has.
        origin: How it was read, for the manifest (JSON values).
        notes: What the user should know: things left out or assumed.
    """

    dataset_name: str
    museums: Iterator[MuseumRecord]
    facts: Mapping[str, FeatureFacts]
    artworks: Mapping[str, ArtworkTable]
    origin: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model that features are of; None where unknown.

    Attributes:
        model: Architecture, in open_clip's naming.
        pretrained: Name of the weights.
    """

    model: str | None = None
    pretrained: str | None = None

    def or_else(self, other: ModelFacts) -> ModelFacts:
        """This, with what it does not say taken from `other`."""
        return ModelFacts(
            self.model or other.model, self.pretrained or other.pretrained
        )

    def facts(
        self,
        feature_size: int,
        *,
        pooling: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> FeatureFacts:
        """Facts of features of this model."""
        return FeatureFacts(
            feature_size=feature_size,
            model=self.model,
            weights=self.pretrained,
            pooling=pooling,
            details=dict(details or {}),
        )


UNSTATED = ModelFacts()
"""Leaves all to the source."""


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, not an object, or a key occurs twice in one.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        refuse_duplicates((key for key, _ in pairs), f"{path}")
        return values

    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a JSON file, found none")
    text = read_text(path)
    try:
        values = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected an object, found {type(values).__name__}")
    return values


def refuse_duplicates(names: Iterable[str], what: str) -> None:
    """Raises ValueError, naming the first name that occurs twice."""
    repeated = first_repeated(names)
    if repeated is not None:
        raise ValueError(f"{what}: expected every id once, found {repeated!r} twice")


def require_folder(path: Path, what: str) -> None:
    """Raises FileNotFoundError unless `path` is a folder."""
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: expected a folder of {what}, found none")
