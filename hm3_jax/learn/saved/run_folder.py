"""Files of an experiment: `EXPERIMENT/STRATEGY/try_K`, in the published form."""

import dataclasses
import datetime
import hashlib
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float, Int

from hm3_jax.files.durable import write_whole
from hm3_jax.files.flush import sync
from hm3_jax.files.json_files import sealed, write_json
from hm3_jax.files.lines import text_file
from hm3_jax.files.run_format import (
    BY_LENGTH,
    EXPERIMENT,
    LOG,
    STRATEGY,
    TEST_ARRAYS,
    TEST_METRICS,
    TEST_OUTPUT,
    WHOLE_QUERY,
    LengthFacts,
    embedding_names,
    read_experiment,
    scores_name,
    try_folder,
)
from hm3_jax.learn.saved.run_lists import drop_lists
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.nn.strategy_json import to_json


@dataclasses.dataclass(frozen=True, slots=True)
class Tested:
    """What one model makes of a split.

    Attributes:
        metrics: published keys.
        descriptions: embeddings, float32 (museums, d).
        museums: embeddings, float32 (museums, d).
        scores: of all descriptions (rows) and museums, float32, where a model compares
            more than one vector of each, whose number d is then 0; else None.
        by_length: metrics of the same museums, found by so many sentences of their
            descriptions.
        by_theme_weight: metrics with other weights of the themes.
    """

    metrics: Mapping[str, float]
    descriptions: Float[np.ndarray, "museums d"]
    museums: Float[np.ndarray, "museums d"]
    scores: Float[np.ndarray, "museums museums"] | None = None
    by_length: Mapping[int, Mapping[str, float]] = dataclasses.field(
        default_factory=dict
    )
    by_theme_weight: Mapping[float, Mapping[str, float]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def lengths(self) -> dict[str, dict[str, float]]:
        """What `LengthFacts` has of it, whole descriptions last."""
        found = {str(length): of for length, of in self.by_length.items()}
        found[WHOLE_QUERY] = self.metrics
        return {
            length: {key: x for key, x in metrics.items() if key.startswith("t2s_")}
            for length, metrics in found.items()
        }


@dataclasses.dataclass(frozen=True, slots=True)
class TryResult:
    """What the test of one try gave.

    Attributes:
        attempt: number of the try, from 1.
        epoch: number of finished epochs of the tested parameters.
        tested: metrics and embeddings.
    """

    attempt: int
    epoch: int
    tested: Tested


def write_strategy(folder: Path, config: StrategyConfig) -> None:
    """Writes `strategy.json`."""
    write_json(folder / STRATEGY, to_json(config))


def check_log(folder: Path, finished_epochs: int, checksum: str | None) -> None:
    """Refuses a log whose lines are not those that were written.

    Args:
        folder: of a try.
        finished_epochs: whose lines count.
        checksum: of those, as `MetricsLog.write` gave it; None where it is not known.

    Raises:
        ValueError: a line is missing or was changed.
    """
    kept = b"".join(finished_lines(folder, finished_epochs))
    if checksum not in (None, hashlib.sha256(kept).hexdigest()):
        raise ValueError(
            f"{folder / LOG}: damaged or edited: the lines of the {finished_epochs} "
            "finished epochs are not those that were written: put them back, or train "
            "again in another folder"
        )


def finished_lines(folder: Path, epochs: int) -> list[bytes]:
    """Lines of the first epochs in the log of a try.

    Raises:
        ValueError: there are fewer.
    """
    log = folder / LOG
    content = log.read_bytes() if log.exists() else b""
    lines = content.splitlines(keepends=True)
    if len(lines) < epochs:
        raise ValueError(
            f"{log}: expected the lines of {epochs} finished epochs, found {len(lines)}"
        )
    return lines[:epochs]


class MetricsLog:
    """`metrics.jsonl` of a try: one line per epoch, nothing that depends on time."""

    def __init__(self, folder: Path, finished_epochs: int):
        """Opens the log, dropping what was written after the given epoch.

        Raises:
            ValueError: it has fewer epochs.
        """
        self._path = folder / LOG
        kept = b"".join(finished_lines(folder, finished_epochs))
        if not self._path.exists() or len(kept) != self._path.stat().st_size:
            drop_lists(folder)
            # Whole, as a kill while it is rewritten would lose finished epochs.
            write_whole(self._path, kept)
        self._checksum = hashlib.sha256(kept)

    def write(self, line: Mapping[str, Any]) -> str:
        """Appends one epoch; it withstands a kill, and a power cut after `flush`.

        Returns:
            Checksum of all lines, for `check_log`.
        """
        text = json.dumps(line) + "\n"
        drop_lists(self._path.parent)
        with text_file(self._path, "a") as file:
            file.write(text)
        self._checksum.update(text.encode())
        return self._checksum.hexdigest()

    def flush(self) -> None:
        """Puts what was written on the disk: to be called before a checkpoint counts.

        Raises:
            OSError: the disk did not take it.
        """
        sync(self._path)


def write_test(
    strategy_folder: Path,
    results: Sequence[TryResult],
    ids: Sequence[str],
    themes: Int[np.ndarray, " museums"],
) -> None:
    """Writes each try's `test_metrics.json` and the strategy's `test_output.json`.

    The arrays of the latter lie beside it in `test_output.npz` as well, see
    `files.run_format`.

    Args:
        strategy_folder: of the strategy.
        results: of every try.
        ids: of the tested museums.
        themes: of the tested museums, numbers of the store's themes. Those are sorted,
            so the numbers are the release's.
    """
    for result in results:
        write_json(
            try_folder(strategy_folder, result.attempt) / TEST_METRICS,
            {"epoch": result.epoch, "metrics": dict(result.tested.metrics)},
        )
    arrays = {"ids": np.array(ids), "themes": np.asarray(themes)}
    for result in results:
        tested = result.tested
        embeddings = (tested.descriptions, tested.museums)
        names = embedding_names(result.attempt)
        arrays |= dict(zip(names, map(np.asarray, embeddings), strict=True))
        if tested.scores is not None:
            arrays[scores_name(result.attempt)] = tested.scores
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    write_whole(strategy_folder / TEST_ARRAYS, packed.getvalue())
    output = [
        {
            "n_try": result.attempt,
            # As few digits as tell a float32 from others: half of a float64's.
            "output_description_test": result.tested.descriptions,
            "output_pov_test": result.tested.museums,
            "output_categories": themes.tolist(),
            "ids_list": list(ids),
            "metrics": dict(result.tested.metrics),
        }
        for result in results
    ]
    # Millions of numbers: json would take longer than the test did.
    text = orjson.dumps(output, option=orjson.OPT_SERIALIZE_NUMPY)
    write_whole(strategy_folder / TEST_OUTPUT, text + b"\n")


def write_lengths(
    strategy_folder: Path, results: Sequence[TryResult], about: LengthFacts
) -> None:
    """Writes each try's `by_length.json`.

    Args:
        strategy_folder: of the strategy.
        results: of every try.
        about: all of it but the metrics.
    """
    for result in results:
        facts = dataclasses.replace(about, lengths=result.tested.lengths)
        path = try_folder(strategy_folder, result.attempt) / BY_LENGTH
        write_json(path, dataclasses.asdict(facts))


def write_experiment(
    folder: Path,
    *,
    name: str,
    description: str,
    tags: Sequence[str],
    settings: TrainSettings,
    run: Mapping[str, Any],
) -> None:
    """Writes `experiment.json`, keeping the uid and other strategies of one there.

    It ends in a checksum of the rest.

    Args:
        folder: of the experiment.
        name: of the experiment.
        description: free text.
        tags: free words.
        settings: shared by all runs.
        run: what there is to say of one strategy.

    Raises:
        ValueError: the one that is there was edited.
    """
    before = read_experiment(folder) or {"uid": uuid.uuid4().hex, "runs": []}
    runs = {of_before["base_name"]: of_before for of_before in before["runs"]}
    runs[run["base_name"]] = run
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    values = {
        "name": name,
        "uid": before["uid"],
        "description": description,
        "tags": list(tags),
        "written": now,
        "settings": dataclasses.asdict(settings),
        "runs": list(runs.values()),
    }
    write_json(folder / EXPERIMENT, sealed(values))
