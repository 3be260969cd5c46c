"""Checkpoints of one try: Orbax folders that say what they hold.

`FOLDER/checkpoints/last/EPOCH` holds parameters and optimiser after that many epochs,
`FOLDER/checkpoints/best/EPOCH` the parameters of the best epoch where runs are tested
with those. Beside the arrays lies `meta`: strategy, settings, position, and the facts
of the features the model was trained on; and `files.json`, the size and checksum of
every other file, as Orbax takes flipped bits for numbers and reports missing bytes at
great length.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from hm3_jax.data.store_files import file_facts
from hm3_jax.learn.model import Model
from hm3_jax.learn.run_folder import read_json, write_json
from hm3_jax.nn.strategy import parse_strategy, to_json

FORMAT_VERSION = 1

_FILES = "files.json"

Slot = Literal["last", "best"]
# Two of each: a run that is killed between saving its tries goes back one.
_KEPT = 2


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved of one try.

    Attributes:
      model: parameters, strategy, feature facts.
      epoch: number of finished epochs; of a loaded checkpoint, those that went into
        its parameters (a try that has ended is saved along with those that go on).
      optimizer: nested state of the optimiser; None where not saved or not loaded.
      progress: position of the training loop, as JSON; None for converted models.
      settings: of the training, as JSON; None for converted models.
    """

    model: Model
    epoch: int
    optimizer: Any = None
    progress: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None


def save(folder: Path, slot: Slot, checkpoint: Checkpoint) -> None:
    """Saves a checkpoint of the try in `folder`; saving an epoch again is allowed.

    Raises:
      OSError: the disk did not take it.
    """
    model = checkpoint.model
    meta = {
        "format_version": FORMAT_VERSION,
        "strategy": to_json(model.config),
        "cnn1d_masking": model.cnn1d_masking,
        "feature_facts": model.feature_facts,
        "progress": checkpoint.progress,
        "settings": checkpoint.settings,
        "jax_version": jax.__version__,
    }
    items = {
        "params": ocp.args.StandardSave(jax.tree.map(jnp.asarray, dict(model.params))),
        "meta": ocp.args.JsonSave(meta),
    }
    if checkpoint.optimizer is not None:
        items["optimizer"] = ocp.args.StandardSave(checkpoint.optimizer)
    with _manager(folder, slot) as manager:
        if checkpoint.epoch in manager.all_steps():
            manager.delete(checkpoint.epoch)
        manager.save(checkpoint.epoch, args=ocp.args.Composite(**items), force=True)
    where = _slot_folder(folder, slot) / str(checkpoint.epoch)
    files = [file for file in sorted(where.rglob("*")) if file.is_file()]
    write_json(
        where / _FILES,
        {
            str(file.relative_to(where)): dataclasses.asdict(file_facts(file))
            for file in files
        },
    )


def saved_epochs(folder: Path, slot: Slot) -> list[int]:
    """Epochs saved in a slot, ascending; empty without any."""
    where = _slot_folder(folder, slot)
    if not where.is_dir():
        return []
    # Orbax calls unfinished ones otherwise, and logs about damaged ones.
    return sorted(int(path.name) for path in where.iterdir() if path.name.isdecimal())


def forget_after(folder: Path, epoch: int) -> None:
    """Deletes what a try has saved of later epochs."""
    for slot in ("best", "last"):
        later = [saved for saved in saved_epochs(folder, slot) if saved > epoch]
        if later:
            with _manager(folder, slot) as manager:
                for saved in later:
                    manager.delete(saved)


def load(
    folder: Path, slot: Slot, epoch: int, *, optimizer: bool = False
) -> Checkpoint:
    """Loads one checkpoint.

    Args:
      folder: of the try.
      slot: "last" or "best".
      epoch: one of `saved_epochs`.
      optimizer: whether to load the state of the optimiser too.

    Raises:
      ValueError: the checkpoint is damaged, or of a newer format.
    """
    where = _slot_folder(folder, slot) / str(epoch)
    _check_files(where)
    items = {"params": ocp.args.StandardRestore(), "meta": ocp.args.JsonRestore()}
    if optimizer:
        items["optimizer"] = ocp.args.StandardRestore()
    try:
        with _manager(folder, slot) as manager:
            restored = manager.restore(epoch, args=ocp.args.Composite(**items))
    except Exception as error:  # Orbax and TensorStore raise a zoo of types
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{where}: cannot be read as a checkpoint: {reason}"
        ) from error
    meta = restored["meta"]
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{where}: expected checkpoint format {FORMAT_VERSION}, found {version}"
        )
    model = Model(
        config=parse_strategy(meta["strategy"], str(where)),
        cnn1d_masking=meta["cnn1d_masking"],
        params=jax.tree.map(np.asarray, restored["params"]),
        feature_facts=meta["feature_facts"],
    )
    progress = meta["progress"]
    return Checkpoint(
        model=model,
        epoch=min(epoch, progress["epoch"]) if progress else epoch,
        optimizer=restored["optimizer"] if optimizer else None,
        progress=progress,
        settings=meta["settings"],
    )


def load_model(folder: Path) -> Checkpoint:
    """Loads what a try is tested with: its best epoch if it kept one, else its last.

    Args:
      folder: a `try_K` folder, or one that `convert` made.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: it is damaged, or of a newer format.
    """
    for slot in ("best", "last"):
        epochs = saved_epochs(folder, slot)
        if epochs:
            return load(folder, slot, epochs[-1])
    raise FileNotFoundError(
        f"{folder}: expected a checkpoint (a try_K folder of a run, or one made by "
        f"convert), found no {folder / 'checkpoints'} with one"
    )


def check_features(model: Model, store_facts: Mapping[str, Any], where: str) -> bool:
    """Refuses features of another origin than those a model was trained on.

    What one side does not know (published files say little) is not compared.

    Args:
      model: the model.
      store_facts: `FeatureStore.feature_facts()`.
      where: path of the store, for the message.

    Returns:
      False where the model does not know what its features came from.

    Raises:
      ValueError: a kind the model reads differs, named with both values.
    """
    if model.feature_facts is None:
        return False
    for kind in ("sentences", *model.config.uses):
        wanted = model.feature_facts.get(kind, {})
        found = store_facts.get(kind)
        if found is None:
            raise ValueError(
                f"{where}: expected features of kind {kind}, which the model reads, "
                f"found {', '.join(store_facts)}"
            )
        for fact, before, now in _differences(wanted, found):
            raise ValueError(
                f"{where}: the model was trained on {kind} with {fact} {before!r}, "
                f"found {now!r}"
            )
    return True


def _differences(
    wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Facts that both sides know and that differ, with both values."""
    for fact in sorted(wanted.keys() & found.keys()):
        before, now = wanted[fact], found[fact]
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now)
        elif None not in (before, now) and before != now:
            yield fact, before, now


def _check_files(where: Path) -> None:
    if not (where / _FILES).exists():
        return  # killed between Orbax's last rename and ours: whole all the same
    for name, wanted in read_json(where / _FILES).items():
        file = where / name
        found = dataclasses.asdict(file_facts(file)) if file.is_file() else "no file"
        if found != wanted:
            raise ValueError(f"{file}: damaged: expected {wanted}, found {found}")


def _slot_folder(folder: Path, slot: Slot) -> Path:
    return folder / "checkpoints" / slot


@contextlib.contextmanager
def _manager(folder: Path, slot: Slot) -> Iterator[ocp.CheckpointManager]:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=_KEPT, enable_async_checkpointing=False
    )
    path = _slot_folder(folder, slot).absolute()
    with ocp.CheckpointManager(path, options=options) as manager:
        yield manager
