"""What a shared model says about itself: `hm3_jax.json`.

The release's own files, `config.json` and `model.safetensors`, have no place for it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts

FACTS_FILE = "hm3_jax.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Tries:
    """Test metrics over the tries of a run.

    Attributes:
        count: Number of finished tries, this one among them.
        mean: Of each metric.
        std: Standard deviation of each metric, of the sample (n - 1); 0 for one try.
    """

    count: int
    mean: Mapping[str, float]
    std: Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The run that a model comes from.

    Attributes:
        experiment: Name of the experiment.
        description: Of the experiment, free text.
        tags: Of the experiment.
        attempt: Number of the try, from 1.
        dataset_name: Of the features trained on.
        dataset_kind: "real", "synthetic", or "unknown".
        metrics: Test metrics of this try; None where there are none of these
            parameters.
        tries: Test metrics over the tries; None where there are none.
    """

    experiment: str
    description: str
    tags: tuple[str, ...]
    attempt: int
    dataset_name: str
    dataset_kind: str
    metrics: Mapping[str, float] | None
    tries: Tries | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SharedFacts:
    """Everything about a shared model but strategy and weights.

    Attributes:
        strategy: File stem of the strategy.
        cnn1d_masking: Masking of the 1-D CNN, "time" or "channels".
        epoch: Number of finished epochs.
        feature_facts: What the features it was trained on come from, by kind; None
            where that is not known.
        settings: Of the training; None for a converted model.
        origin: The run; None where its files were not there.
        versions: Of the packages that wrote the folder, by name.
        weights: Size and checksum of `model.safetensors`.
    """

    strategy: str
    cnn1d_masking: str
    epoch: int
    feature_facts: Mapping[str, Any] | None
    settings: Mapping[str, Any] | None
    origin: Origin | None
    versions: Mapping[str, str]
    weights: FileFacts


def write_facts(folder: Path, facts: SharedFacts) -> None:
    """Writes `hm3_jax.json` into a folder."""
    value = {"format_version": FORMAT_VERSION, **dataclasses.asdict(facts)}
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    (folder / FACTS_FILE).write_text(text, encoding="utf-8")


def read_facts(folder: Path) -> SharedFacts:
    """Reads `hm3_jax.json` of a folder.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or of a newer format.
    """
    path = folder / FACTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected the facts of a shared model, found none (a folder of "
            "the published release is made one by convert --from=pytorch)"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise ValueError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("format_version"), int):
        raise ValueError(
            f"{path}: expected the facts of a shared model, found no format_version"
        )
    version = value.pop("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: expected format {FORMAT_VERSION}, found {version}"
            + (" (of a newer hm3_jax?)" if version > FORMAT_VERSION else "")
        )
    try:
        return _Reader(value).facts()
    except _UnfitError as error:
        raise ValueError(f"{path}: {error}") from None


class _UnfitError(Exception):
    """A value of the file is missing or of another type."""


_NUMBER = (int, float)


class _Reader:
    """Takes typed values out of a JSON object; names what does not fit."""

    def __init__(self, value: Mapping[str, Any], where: str = ""):
        self._value, self._where = value, where

    def get(self, name: str, kind: Any) -> Any:
        """A value of a type; `kind` is what `isinstance` takes."""
        if name not in self._value:
            raise _UnfitError(f"expected {self._where}{name}, found none")
        found = self._value[name]
        # To Python, true and false are numbers too.
        if isinstance(found, bool) or not isinstance(found, kind):
            raise self._unfit(name, found)
        return found

    def of(self, name: str) -> _Reader | None:
        """A nested object, or None for null."""
        found = self.get(name, (dict, type(None)))
        return None if found is None else _Reader(found, f"{self._where}{name}.")

    def table(self, name: str, kind: Any) -> dict[str, Any]:
        """A nested object whose values are all of a type."""
        found = self.get(name, dict)
        inner = _Reader(found, f"{self._where}{name}.")
        return {key: inner.get(key, kind) for key in found}

    def metrics(self, name: str) -> dict[str, float]:
        """A nested object of finite numbers."""
        found = self.table(name, _NUMBER)
        for key, number in found.items():
            if not math.isfinite(number):
                raise self._unfit(f"{name}.{key}", number)
        return found

    def facts(self) -> SharedFacts:
        weights = _Reader(self.get("weights", dict), "weights.")
        masking = self.get("cnn1d_masking", str)
        if masking not in ("time", "channels"):
            raise self._unfit("cnn1d_masking", masking)
        epoch = self.get("epoch", int)
        if epoch < 0:
            raise self._unfit("epoch", epoch)
        known = self.of("feature_facts")
        origin = self.of("origin")
        return SharedFacts(
            strategy=self.get("strategy", str),
            cnn1d_masking=masking,
            epoch=epoch,
            feature_facts=None if known is None else self.table("feature_facts", dict),
            settings=self.get("settings", (dict, type(None))),
            origin=None if origin is None else origin._origin(),
            versions=self.table("versions", str),
            weights=FileFacts(weights.get("bytes", int), weights.get("sha256", str)),
        )

    def _origin(self) -> Origin:
        tags = self.get("tags", list)
        if not all(isinstance(tag, str) for tag in tags):
            raise self._unfit("tags", tags)
        tested = self.of("metrics")
        tries = self.of("tries")
        return Origin(
            experiment=self.get("experiment", str),
            description=self.get("description", str),
            tags=tuple(tags),
            attempt=self.get("attempt", int),
            dataset_name=self.get("dataset_name", str),
            dataset_kind=self.get("dataset_kind", str),
            metrics=None if tested is None else self.metrics("metrics"),
            tries=None if tries is None else tries._tries(),
        )

    def _tries(self) -> Tries:
        return Tries(
            count=self.get("count", int),
            mean=self.metrics("mean"),
            std=self.metrics("std"),
        )

    def _unfit(self, name: str, found: Any) -> _UnfitError:
        return _UnfitError(
            f"expected {self._where}{name} as this version writes it, found "
            f"{repr(found)[:60]}"
        )
