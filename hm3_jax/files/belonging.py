"""Whether a checkpoint belongs to the folder that it is in.

It says of which run, try, slot and epoch it is, beside the settings and the strategy;
the record of the try, `run.json`, says what the run is. Paths say nothing but the
try, the slot and the epoch, so that folders of runs may be moved and copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.differences import differences
from hm3_jax.files.json_files import read_object
from hm3_jax.files.run_format import RECORD, try_number


def check_belongs(where: Path, meta: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another run, try, slot or epoch.

    Those of earlier versions say less, and only what they say is compared.

    Args:
        where: `FOLDER/checkpoints/SLOT/EPOCH`, where FOLDER is a try's, or one that
            holds a converted model and no record.
        meta: What the checkpoint says about itself, its `meta.json`.

    Raises:
        ValueError: It is another; named with both.
    """
    path = where.parents[2] / RECORD
    record = read_object(path) if path.is_file() else {}
    check_record(where.parents[2], record)
    for name, wanted, found in _differing(where, meta, record):
        raise ValueError(
            f"{where}: expected the checkpoint of {name} {wanted!r}, found that of "
            f"{found!r}: put the right one there, or remove it"
        )


def check_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Refuses the record of another try than the folder's name says.

    Raises:
        ValueError: It is of another.
    """
    settings = record.get("settings")
    found = settings.get("try") if isinstance(settings, Mapping) else None
    if None not in (found, number := try_number(folder)) and found != number:
        raise ValueError(
            f"{folder / RECORD}: expected the record of try {number}, found that of "
            f"try {found}: put the right folder there"
        )


def _differing(
    where: Path, meta: Mapping[str, Any], record: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    slot = where.parent.name
    wanted = {
        **_object(record.get("settings")),  # the number of the try among them
        **_some(record, "strategy", "features_checksum"),
        "slot": slot,
        "epoch": int(where.name),
    }
    found = {
        **_object(meta.get("settings")),
        **_some(_object(meta.get("run")), "try", "features_checksum"),
        **_some(meta, "strategy", "slot", "epoch"),
    }
    if "epoch" not in found and (epoch := _epoch(slot, meta)) is not None:
        found["epoch"] = epoch
    common = wanted.keys() & found.keys()
    yield from differences(
        {name: wanted[name] for name in common}, {name: found[name] for name in common}
    )


def _epoch(slot: str, meta: Mapping[str, Any]) -> Any:
    """Epoch of a checkpoint that does not say it, by where its training stood."""
    progress = _object(meta.get("progress"))
    if slot == "best":
        return progress.get("best_epoch")
    epochs = _object(meta.get("settings")).get("epochs")
    # One that had ended was saved along with others that went on.
    ended = progress.get("ended") or progress.get("epoch") == epochs
    return None if ended else progress.get("epoch")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _some(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}
