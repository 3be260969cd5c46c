"""Reads one try: its record, its state and its test metrics."""

import dataclasses
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hm3_jax.files import json_files
from hm3_jax.files.belonging import check_belongs, check_record
from hm3_jax.files.file_list import FILE_LIST, damage, listed_damage
from hm3_jax.files.run_format import (
    BY_LENGTH,
    CHECKPOINT_FORMAT,
    EXPERIMENT,
    FAILURE,
    LOG,
    RECORD,
    TEST_METRICS,
    LengthFacts,
    RunFacts,
    read_experiment,
)
from hm3_jax.objective.metric_table import KEYS
from hm3_jax.reporting.by_length import read_by_length
from hm3_jax.reporting.records import DataSet, Try

Say = Callable[[str], None]

# A record with more is of a version that this one does not know.
_FIELDS = {field.name for field in dataclasses.fields(RunFacts)}
# Settings that a report computes with.
_NUMBERS = (
    "epochs",
    "number_of_tries",
    "loss_margin",
    "loss_within_category_margin",
    "second_loss_component_weight",
)


@dataclasses.dataclass(frozen=True, slots=True)
class FoundTry:
    """A try's record, and its test where it has one.

    Attributes:
        number: from 1.
        settings: of the training, without the number.
        config: published JSON of the strategy.
        data: what it was trained on.
        tested: its test; None where it is not finished.
        state: what became of it where it is not finished; empty otherwise.
    """

    number: int
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    data: DataSet
    tested: Try | None
    state: str


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: the file is something else, or not to be read.
    """
    try:
        return json_files.read_object(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None


def entries(experiment: Path) -> list[Mapping[str, Any]]:
    """What experiment.json says about each strategy; empty where there is no such file.

    Raises:
        ValueError: the file is something else, edited, or not to be read.
    """
    entries = _experiment(experiment).get("runs", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ValueError(
            f"{experiment / EXPERIMENT}: expected a list of runs, found something else"
        )
    return entries


def read_try(folder: Path, number: int, say: Say) -> FoundTry:
    """Reads a try.

    Args:
        folder: of the try.
        number: of the try.
        say: told about metrics that are missing, and about an edited log.

    Raises:
        ValueError: a file is damaged, edited or of a newer version.
    """
    # Where the strategy has a list, its tries have: see `learn.saved.run_lists`.
    find = damage if (folder.parent / FILE_LIST).exists() else listed_damage
    if edited := find(folder, (RECORD, FAILURE, TEST_METRICS)):
        raise ValueError(edited)
    if edited := listed_damage(folder, (LOG,)):
        say(f"{edited}; not drawn")
    record = _record(folder)
    check_record(folder, record)
    _check_checkpoints(folder)
    settings = {k: v for k, v in record["settings"].items() if k != "try"}
    config = record["strategy"]
    data = DataSet(
        str(record["dataset_name"]),
        _kind(folder.parent),
        str(record["features_checksum"]),
    )
    failure = folder / FAILURE
    if failure.exists():
        why = read_object(failure).get("failure") or "without a reason"
        return FoundTry(number, settings, config, data, None, f"failed ({why})")
    if not (folder / TEST_METRICS).exists():
        state = f"unfinished ({_epochs(folder)} of {settings.get('epochs')} epochs)"
        return FoundTry(number, settings, config, data, None, state)
    return FoundTry(number, settings, config, data, _tested(folder, number, say), "")


def _record(folder: Path) -> Mapping[str, Any]:
    path = folder / RECORD
    if not path.exists():
        raise ValueError(f"{path}: expected a run's record, found none")
    record = read_object(path)
    unknown = sorted(record.keys() - _FIELDS)
    if unknown:
        raise ValueError(
            f"{path}: expected a run's record as this version knows it, found also "
            f"{', '.join(unknown)} (of a newer version?)"
        )
    objects = ("settings", "strategy")
    missing = {*objects, "dataset_name", "features_checksum"} - record.keys()
    wrong = [name for name in objects if not isinstance(record.get(name), dict)]
    if missing or wrong:
        wanting = ", ".join(sorted(missing)) or f"an object of {wrong[0]}"
        raise ValueError(f"{path}: expected a run's record, found none of {wanting}")
    for name in _NUMBERS:
        value = record["settings"].get(name)
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"{path}: expected a number as {name}, found {value!r}")
    return record


def _check_checkpoints(folder: Path) -> None:
    for path in sorted(folder.glob("checkpoints/*/*/meta.json")):
        if not path.parent.name.isdecimal():  # unfinished, or being deleted
            continue
        meta = read_object(path)
        version = meta.get("format_version")
        if isinstance(version, int) and version > CHECKPOINT_FORMAT:
            raise ValueError(
                f"{path}: expected checkpoint format {CHECKPOINT_FORMAT}, found "
                f"{version} (of a newer version?)"
            )
        check_belongs(path.parent, meta)
        _check_strategy(folder, meta)


def _check_strategy(folder: Path, meta: Mapping[str, Any]) -> None:
    """Refuses another strategy's try, where the folder has not been renamed."""
    strategy, run = folder.parent, meta.get("run")
    found = run.get("strategy") if isinstance(run, dict) else None
    if found not in (None, strategy.name) and _entry(strategy):
        raise ValueError(
            f"{folder}: expected a try of {strategy.name}, found one of {found}: put "
            "the right folder there"
        )


def theme_names(strategy_folder: Path) -> Sequence[str] | None:
    """Names of the themes that test_output.json has numbers of.

    Returns:
        None where experiment.json does not say.
    """
    names = _entry(strategy_folder).get("themes")
    return names if isinstance(names, list) else None


def other_mean(
    strategy_folder: Path, tries: Sequence[Try]
) -> tuple[str, float, float] | None:
    """A metric whose mean over the tries is not the one in experiment.json.

    Args:
        strategy_folder: of the tries.
        tries: all finished ones.

    Returns:
        The metric, the mean there, and that of the tries; None where they agree, or
        where experiment.json says nothing of so many tries.
    """
    entry = _entry(strategy_folder)
    means = entry.get("test_metrics_mean")
    if entry.get("n_tries") != len(tries) or not isinstance(means, dict):
        return None
    for metric, wanted in means.items():
        values = [t.metrics[metric] for t in tries if metric in t.metrics]
        if len(values) == len(tries) and isinstance(wanted, int | float):
            found = statistics.fmean(values)
            if not math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-6):
                return metric, wanted, found
    return None


def date_of(experiment: Path) -> str:
    """YYYY-MM-DD on which experiment.json was written; empty where nothing says."""
    try:
        written = _experiment(experiment).get("written")
    except ValueError:  # said already, where the folder was found
        return ""
    found = isinstance(written, str) and re.match(r"\d{4}-\d\d-\d\d", written)
    return found[0] if found else ""


def _experiment(folder: Path) -> Mapping[str, Any]:
    try:
        return read_experiment(folder)
    except OSError as error:
        raise ValueError(f"{folder / EXPERIMENT}: {error.strerror or error}") from None


def _kind(strategy_folder: Path) -> str:
    return str(_entry(strategy_folder).get("dataset_kind", "unknown"))


def _entry(strategy_folder: Path) -> Mapping[str, Any]:
    """What experiment.json says about a strategy; empty where it says nothing."""
    try:
        listed = entries(strategy_folder.parent)
    except ValueError:  # said already, where the folder was found
        listed = []
    for entry in listed:
        if entry.get("base_name") == strategy_folder.name:
            return entry
    return {}


def _epochs(folder: Path) -> int:
    try:
        return (folder / LOG).read_bytes().count(b"\n")
    except OSError:
        return 0


def _tested(folder: Path, number: int, say: Say) -> Try:
    path = folder / TEST_METRICS
    content = read_object(path)
    metrics = content.get("metrics")
    if not isinstance(metrics, dict) or not isinstance(content.get("epoch"), int):
        raise ValueError(f"{path}: expected epoch and metrics, found others")
    usable = {
        key: float(value)
        for key, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    missing = [key for key in KEYS if key not in usable]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        say(f"{path}: has no number for {', '.join(missing[:3])}{more}")
    return Try(number, content["epoch"], usable, _by_length(folder, say))


def _by_length(folder: Path, say: Say) -> LengthFacts | None:
    path = folder / BY_LENGTH
    if not path.exists():  # of a version that did not write it
        return None
    try:
        return read_by_length(path)
    except ValueError as error:
        say(f"{error}; not reported by sentences of the query")
        return None
