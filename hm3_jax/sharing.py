"""Makes folders to share of checkpoints, with what their runs' files say."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import jax
import numpy as np

from hm3_jax import __version__
from hm3_jax.files.facts import FileFacts
from hm3_jax.interop.shared_facts import Origin, SharedFacts, Tries
from hm3_jax.interop.shared_folder import write_shared_folder
from hm3_jax.learn.checkpoint import Checkpoint
from hm3_jax.reporting.read_tries import FoundTry, read_object, read_try

_TRY = re.compile(r"try_([1-9]\d*)")


def share(
    saved: Checkpoint, source: Path, output: Path, name: str | None = None
) -> None:
    """Writes a folder to share.

    Args:
        saved: The model.
        source: Folder that it was loaded from; the files of a run beside it say where
            it comes from.
        output: Folder to write; must not exist. It is whole or absent.
        name: USER/NAME that it will have on the hub; None if none.

    Raises:
        FileExistsError: `output` exists.
        ValueError: A file of the run is damaged.
    """
    model, origin = saved.model, origin_of(source, saved.epoch)

    def facts(weights: FileFacts) -> SharedFacts:
        return SharedFacts(
            strategy=model.config.file_stem,
            cnn1d_masking=model.cnn1d_masking,
            epoch=saved.epoch,
            feature_facts=model.feature_facts,
            settings=saved.settings,
            origin=origin,
            versions={"hm3_jax": __version__, "jax": jax.__version__},
            weights=weights,
        )

    write_shared_folder(output, model.config, model.params, facts, name)


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
    number = _TRY.fullmatch(folder.name)
    if number is None or not (folder / "run.json").is_file():
        return None
    found = read_try(folder, int(number[1]), _warn)
    tested = found.tested
    if tested is not None and tested.epoch != epoch:
        _warn(
            f"{folder}: its test is of epoch {tested.epoch}, its checkpoint of epoch "
            f"{epoch}; the test is left out"
        )
        tested = None
    path = folder.parent.parent / "experiment.json"
    experiment = read_object(path) if path.is_file() else {}
    return Origin(
        experiment=str(experiment.get("name", folder.parent.parent.name)),
        description=str(experiment.get("description", "")),
        tags=tuple(str(tag) for tag in experiment.get("tags") or ()),
        attempt=found.number,
        dataset_name=found.data.name,
        dataset_kind=found.data.kind,
        metrics=None if tested is None else dict(tested.metrics),
        tries=None if tested is None else _over_tries(folder, found),
    )


def _over_tries(folder: Path, own: FoundTry) -> Tries:
    """Metrics over all finished tries of a run with the settings of one."""
    metrics = [
        tested.metrics
        for found in (own, *_others(folder))
        if (tested := found.tested) is not None
        and (found.settings, found.data) == (own.settings, own.data)
    ]
    shared = [key for key in metrics[0] if all(key in of_try for of_try in metrics)]
    values = np.array([[of_try[key] for key in shared] for of_try in metrics])
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(shared))
    return Tries(
        count=len(metrics),
        mean=dict(zip(shared, values.mean(axis=0).tolist(), strict=True)),
        std=dict(zip(shared, spread.tolist(), strict=True)),
    )


def _others(folder: Path) -> list[FoundTry]:
    others = []
    for path in sorted(folder.parent.iterdir()):
        number = _TRY.fullmatch(path.name)
        if number is None or path == folder or not (path / "run.json").is_file():
            continue
        try:
            others.append(read_try(path, int(number[1]), _warn))
        except ValueError as error:
            _warn(f"{error}; the try is left out")
    return others


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)
