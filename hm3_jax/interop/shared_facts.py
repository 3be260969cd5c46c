"""What a shared model says about itself: `hm3_jax.json`.

The release's own files, `config.json` and `model.safetensors`, have no place for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.files.facts import FileFacts
from hm3_jax.files.json_files import checksum_of, json_text, read_json, sealed

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
        test_museums: Number of museums in the test; None where that is not known.
        metrics: Test metrics of this try; None where there are none of these
            parameters.
        tries: Test metrics over the tries; None where `metrics` is.
    """

    experiment: str
    description: str
    tags: Sequence[str]
    attempt: int
    dataset_name: str
    dataset_kind: str
    test_museums: int | None
    metrics: Mapping[str, float] | None
    tries: Tries | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SharedFacts:
    """Everything about a shared model but strategy and weights.

    Attributes:
        cnn1d_masking: Masking of the 1-D CNN, "time" or "channels".
        epoch: Number of finished epochs.
        feature_facts: What the features it was trained on come from, by kind; None
            where that is not known.
        settings: Of the training; None for a converted model.
        origin: The run; None where its files were not there.
        versions: Of the packages that wrote the folder, by name.
    """

    cnn1d_masking: str
    epoch: int
    feature_facts: Mapping[str, Any] | None
    settings: Mapping[str, Any] | None
    origin: Origin | None
    versions: Mapping[str, str]


def facts_text(facts: SharedFacts, files: Mapping[str, FileFacts]) -> str:
    """The text of `hm3_jax.json`; it ends in a checksum of the rest.

    Args:
        facts: What to say.
        files: Sizes and checksums of the files beside it, by name.
    """
    values = {
        "format_version": FORMAT_VERSION,
        **dataclasses.asdict(facts),
        "files": {name: dataclasses.asdict(of_file) for name, of_file in files.items()},
    }
    return json_text(sealed(values))


def read_facts(path: Path) -> tuple[SharedFacts, dict[str, FileFacts]]:
    """Reads `hm3_jax.json`.

    Returns:
        What it says, and the facts of the files beside it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is another file, damaged, or of a newer format.
    """
    try:
        values = read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: expected the facts of a shared model, found no such file"
        ) from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if not isinstance(version, int):
        raise ValueError(
            f"{path}: expected the facts of a shared model, found another file"
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path}: expected format version {FORMAT_VERSION} or older, found "
            f"{version}: this model was written by a newer version of hm3_jax"
        )
    checksum = values.pop("checksum", None)
    if checksum != (found := checksum_of(values)):
        raise ValueError(
            f"{path}: damaged: expected checksum {checksum}, found {found}"
        )
    del values["format_version"]
    try:
        files = {n: FileFacts(**known) for n, known in values.pop("files").items()}
        return SharedFacts(**{**values, "origin": _origin(values["origin"])}), files
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the fields of format version {FORMAT_VERSION}, found "
            f"{error}"
        ) from None


def _origin(values: Mapping[str, Any] | None) -> Origin | None:
    if values is None:
        return None
    tries = values["tries"]
    return Origin(**{**values, "tries": None if tries is None else Tries(**tries)})
