"""What runs write and reports read, which share nothing but these files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.json_files import check_seal, read_object

EXPERIMENT = "experiment.json"
"""Of an experiment: its settings, and what there is to say of each strategy."""

STRATEGY = "strategy.json"
"""Of a strategy: its published JSON."""

RECORD = "run.json"
"""Of a try: the `RunFacts` it was trained by."""

LOG = "metrics.jsonl"
"""Of a try: a line of metrics for each epoch."""

FAILURE = "failed.json"
"""Of a try that has failed: where it stood."""

TEST_METRICS = "test_metrics.json"
"""Of a try: epoch and metrics of its test."""

TEST_OUTPUT = "test_output.json"
"""Of a strategy: what every try made of the test museums, in the published form."""

TEST_ARRAYS = "test_output.npz"
"""The same arrays, for programs: `ids` and `themes` (numbers of the store's themes) of
the test museums, and float32 `try_K_descriptions` and `try_K_museums` of every try."""

BY_LENGTH = "by_length.json"
"""Of a try, and of an evaluation: a `LengthFacts`."""

WHOLE_QUERY = "all"
"""Stands for the number of sentences of a whole description."""

CHECKPOINT_FORMAT = 1
"""Version of what checkpoints hold."""

_TRY = re.compile(r"try_([1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """`run.json` of a try: what must be the same for it to go on.

    Attributes:
        strategy: published JSON.
        settings: of the run, and its try.
        dataset_name: of the store.
        features: what they come from, by kind.
        features_checksum: of the store's manifest, which has the checksum of every
            file.
        together: folders of the runs of its program, in order and seen from its own (so
            that an experiment may be moved); the last bits of a run's numbers depend on
            them.
        jax_version: of the JAX that trained it.
    """

    strategy: Mapping[str, Any]
    settings: Mapping[str, Any]
    dataset_name: str
    features: Mapping[str, Any]
    features_checksum: str
    together: list[str]
    jax_version: str


@dataclasses.dataclass(frozen=True)
class LengthFacts:
    """`by_length.json`: how well museums are found by parts of their descriptions.

    Attributes:
        model: what the model is called.
        dataset_name: of the store.
        dataset_kind: "real" or "synthetic".
        features_checksum: of the store's manifest.
        split: whose museums are looked for, and among which.
        query_seed: of the parts of the descriptions.
        lengths: by number of sentences ("1", "2", ..., or `WHOLE_QUERY`) the metrics of
            museums ranked for descriptions, published keys.
    """

    model: str
    dataset_name: str
    dataset_kind: str
    features_checksum: str
    split: str
    query_seed: int
    lengths: Mapping[str, Mapping[str, float]]


def try_folder(strategy_folder: Path, attempt: int) -> Path:
    """Folder of a try, from 1."""
    return strategy_folder / f"try_{attempt}"


def try_number(folder: Path | str) -> int | None:
    """Number of a try, by the name of its folder; None of other folders."""
    found = _TRY.fullmatch(Path(folder).name)
    return int(found[1]) if found else None


def read_experiment(folder: Path) -> dict[str, Any]:
    """Reads `experiment.json`; empty where there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else, or was edited.
    """
    path = folder / EXPERIMENT
    if not path.exists():
        return {}
    found = read_object(path, ("uid", "runs"))
    check_seal(found, path)
    return found


def embedding_names(attempt: int) -> tuple[str, str]:
    """Names in `TEST_ARRAYS` of a try's descriptions and museums.

    >>> embedding_names(2)
    ('try_2_descriptions', 'try_2_museums')
    """
    return f"try_{attempt}_descriptions", f"try_{attempt}_museums"


def scores_name(attempt: int) -> str:
    """Name in `TEST_ARRAYS` of a try's scores of all pairs, where it has them."""
    return f"try_{attempt}_scores"
