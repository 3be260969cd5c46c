"""Makes folders to share of checkpoints, with what their runs' files say."""

from __future__ import annotations

import dataclasses
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import orjson

from hm3_jax import __version__
from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.file_list import listed_damage
from hm3_jax.files.run_format import (
    RECORD,
    TEST_OUTPUT,
    read_experiment,
    try_number,
)
from hm3_jax.interop import hub
from hm3_jax.interop.shared_facts import Origin, SharedFacts, Tries
from hm3_jax.interop.shared_folder import write_shared_files
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.reporting.read_tries import FoundTry, read_try


@dataclasses.dataclass(frozen=True, slots=True)
class Push:
    """Where on the hub to put a model.

    Attributes:
        name: USER/NAME.
        private: Whether only its owner sees it there; None for what the account has as
            its default, or for what it is.
    """

    name: str
    private: bool | None = None


def share(
    saved: Checkpoint, source: Path, output: Path, push: Push | None = None
) -> str | None:
    """Writes a folder to share, and puts it on the hub.

    Args:
        saved: The model.
        source: Folder that it was loaded from; the files of a run beside it say where
            it comes from.
        output: Folder to write; must not exist. It is complete, or absent, which it
            also is after a failed push, so that the same command can be run again.
        push: Where to put it on the hub; None for nowhere.

    Returns:
        Address of the commit on the hub; None if it was not to be pushed.

    Raises:
        FileExistsError: `output` exists.
        ValueError: A file of the run is damaged; or as `hub.push`.
        ConnectionError: As `hub.push`.
        ModuleNotFoundError: As `hub.push`.
    """
    model = saved.model
    facts = SharedFacts(
        cnn1d_masking=model.config.cnn1d_masking,
        epoch=saved.epoch,
        feature_facts=model.feature_facts,
        settings=saved.settings,
        origin=origin_of(source, saved.epoch),
        versions={"hm3_jax": __version__, "jax": jax.__version__},
    )
    name = None if push is None else push.name
    with whole_or_absent(output, "a shared model") as partial:
        write_shared_files(partial, model.config, model.params, facts, name)
        if push is None:
            return None
        return hub.push(partial, push.name, private=push.private)


def origin_of(folder: Path, epoch: int) -> Origin | None:
    """What the files of a run say of one of its tries.

    Args:
        folder: `EXPERIMENT/STRATEGY/try_K`.
        epoch: Of the parameters; a test of others is left out, with a warning.

    Returns:
        None for another folder than that of a try.

    Raises:
        ValueError: A file of this try, or of its experiment, is damaged.
    """
    folder = folder.resolve()
    number = _number(folder)
    if number is None:
        return None
    found = read_try(folder, number, _warn)
    tested = found.tested
    if tested is not None and tested.epoch != epoch:
        _warn(
            f"{folder}: its test is of epoch {tested.epoch}, its checkpoint of epoch "
            f"{epoch}; the test is left out"
        )
        tested = None
    experiment = read_experiment(folder.parent.parent)
    return Origin(
        experiment=str(experiment.get("name", folder.parent.parent.name)),
        description=str(experiment.get("description", "")),
        tags=[str(tag) for tag in experiment.get("tags") or ()],
        attempt=found.number,
        dataset_name=found.data.name,
        dataset_kind=found.data.kind,
        test_museums=_test_museums(folder.parent, number),
        metrics=None if tested is None else dict(tested.metrics),
        tries=None if tested is None else _over_tries(folder, found),
    )


def _test_museums(folder: Path, number: int) -> int | None:
    """Number of museums in the test of a try; None where it is not finished."""
    path = folder / TEST_OUTPUT
    if not path.is_file():
        return None
    if edited := listed_damage(folder, (path.name,)):
        raise ValueError(edited)
    try:
        tries = orjson.loads(path.read_bytes())
        return {of["n_try"]: len(of["ids_list"]) for of in tries}.get(number)
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path}: expected the tests of tries, found another file"
        ) from None


def _over_tries(folder: Path, own: FoundTry) -> Tries:
    """Metrics over all finished tries of a run with the settings of one."""
    metrics = [
        found.tested.metrics
        for found in (own, *_others(folder))
        if found.tested is not None
        and (found.settings, found.config, found.data)
        == (own.settings, own.config, own.data)
    ]
    values = {
        key: [of_try[key] for of_try in metrics]
        for key in metrics[0]
        if all(key in of_try for of_try in metrics)
    }
    return Tries(
        count=len(metrics),
        mean={key: statistics.fmean(found) for key, found in values.items()},
        std={
            key: statistics.stdev(found) if len(found) > 1 else 0.0
            for key, found in values.items()
        },
    )


def _others(folder: Path) -> Iterator[FoundTry]:
    for path in sorted(folder.parent.iterdir()):
        number = _number(path)
        if number is None or path == folder:
            continue
        try:
            yield read_try(path, number, _warn)
        except ValueError as error:
            _warn(f"{error}; the try is left out")


def _number(folder: Path) -> int | None:
    """Of a try, by its folder; None for other folders."""
    return try_number(folder) if (folder / RECORD).is_file() else None


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)
