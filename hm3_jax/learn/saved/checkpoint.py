"""Checkpoints of one try: folders that say what they hold.

`FOLDER/checkpoints/last/EPOCH` holds parameters and optimiser after that many epochs,
`FOLDER/checkpoints/best/EPOCH` the parameters of the best epoch where runs are tested
with those. Beside the `arrays`, which Orbax writes, lies `meta.json`: which run, try,
slot and epoch it is of (`files.belonging` compares), strategy, settings, position, and
the facts of the features the model was trained on; and `files.json`, the size and
checksum of every other file, as Orbax takes flipped bits for numbers and reports
missing bytes at great length.
"""

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from hm3_jax.files.belonging import check_belongs
from hm3_jax.files.file_list import damage
from hm3_jax.files.hidden import remove_leftovers, take_back
from hm3_jax.files.json_files import read_object
from hm3_jax.files.lines import write_text
from hm3_jax.files.run_format import CHECKPOINT_FORMAT
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.arrays import read_arrays, same_bits, write_arrays
from hm3_jax.learn.saved.verified_folder import delete_folder, save_folder
from hm3_jax.nn.strategy_json import parse_strategy, to_json

FORMAT_VERSION = CHECKPOINT_FORMAT

_ARRAYS, _META = "arrays", "meta.json"
_META_KEYS = (
    "format_version",
    "strategy",
    "cnn1d_masking",
    "feature_facts",
    "progress",
    "settings",
)

Slot = Literal["last", "best"]
# The last first: whatever of it is left after a kill still has its best.
_SLOTS: tuple[Slot, ...] = ("last", "best")
# Two of each: a run that is killed between saving its tries goes back one.
_KEPT = 2
_THREADS = 4
# Bytes of a checkpoint besides its arrays, about.
_FILES_SIZE = 128 * 1024


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
        loss: parameters of the loss's own; empty where it has none.
        run: which experiment, strategy and try it is of, and the checksum of the
            features; None for converted models.
    """

    model: Model
    epoch: int
    optimizer: Any = None
    progress: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
    loss: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Any] | None = None


def save(folder: Path, slot: Slot, checkpoint: Checkpoint) -> None:
    """Saves a checkpoint of the try in `folder`; saving an epoch again is allowed.

    It counts once it is on the disk, whole and read back: see
    `learn.saved.verified_folder`. Then all but the newest two of the slot are deleted.

    Only process 0 of a run of several can save; it waits for none of the others.

    Raises:
        OSError: the disk did not take it; what was saved before is still there.
    """
    if jax.process_index() != 0:
        raise RuntimeError(
            f"{folder}: checkpoints are saved by process 0, not {jax.process_index()}"
        )
    model = checkpoint.model
    meta = {
        "format_version": FORMAT_VERSION,
        "slot": slot,
        "epoch": checkpoint.epoch,
        "run": checkpoint.run,
        "strategy": to_json(model.config),
        "cnn1d_masking": model.config.cnn1d_masking,
        "feature_facts": model.feature_facts,
        "progress": checkpoint.progress,
        "settings": checkpoint.settings,
        "jax_version": jax.__version__,
    }
    text = json.dumps(meta, indent=1) + "\n"
    arrays = {"params": dict(model.params)}
    if checkpoint.optimizer is not None:
        arrays["optimizer"] = checkpoint.optimizer
    if checkpoint.loss:
        arrays["loss"] = dict(checkpoint.loss)
    arrays = jax.tree.map(np.asarray, arrays)

    def write(to: Path) -> None:
        write_text(to / _META, text)
        write_arrays(to / _ARRAYS, arrays)

    def check(where: Path) -> None:
        if not same_bits(read_arrays(where / _ARRAYS), arrays):
            raise OSError("the arrays read back are not those written")

    size = sum(array.nbytes for array in jax.tree.leaves(arrays)) + _FILES_SIZE
    save_folder(_epoch_folder(folder, slot, checkpoint.epoch), size, write, check)
    # The new one is safe. What cannot be deleted now is tried again the next time.
    with contextlib.suppress(OSError):
        _keep_newest(folder, slot)


def save_many(saves: Iterable[tuple[Path, Slot, Checkpoint]]) -> None:
    """Saves checkpoints of several tries; while one waits for the disk, others go on.

    Args:
        saves: arguments of `save`; those of one folder are saved in the order given.

    Raises:
        OSError: the disk did not take one of them; the others were tried all the same.
    """
    by_folder: dict[Path, list[tuple[Slot, Checkpoint]]] = {}
    for folder, slot, checkpoint in saves:
        by_folder.setdefault(folder, []).append((slot, checkpoint))

    def save_all(folder: Path) -> None:
        for slot, checkpoint in by_folder[folder]:
            save(folder, slot, checkpoint)

    with ThreadPoolExecutor(_THREADS) as pool:
        done = [pool.submit(save_all, folder) for folder in by_folder]
    for future in done:
        future.result()


def saved_epochs(folder: Path, slot: Slot) -> list[int]:
    """Epochs saved in a slot, ascending, whether intact or not; empty without any."""
    where = _slot_folder(folder, slot)
    if not where.is_dir():
        return []
    take_back(where)
    # Unfinished and deleted ones are called otherwise.
    return sorted(int(path.name) for path in where.iterdir() if path.name.isdecimal())


def usable_epochs(folder: Path, slot: Slot) -> list[int]:
    """Epochs saved in a slot whose files are what was saved, ascending."""
    return [
        epoch
        for epoch in saved_epochs(folder, slot)
        if damage(_epoch_folder(folder, slot, epoch)) is None
    ]


def newest_usable(
    folder: Path, slot: Slot, among: Collection[int] | None = None
) -> tuple[int | None, list[str]]:
    """The newest epoch of a slot that is intact.

    Args:
        folder: of the try.
        slot: "last" or "best".
        among: only these epochs are looked at; None for all that are saved.

    Returns:
        The epoch, None if there is none; and what is wrong with each newer one, a line
        each that names the file.
    """
    problems = []
    for epoch in reversed(saved_epochs(folder, slot)):
        if among is None or epoch in among:
            problem = damage(_epoch_folder(folder, slot, epoch))
            if problem is None:
                return epoch, problems
            problems.append(problem)
    return None, problems


def forget_after(folder: Path, epoch: int) -> None:
    """Deletes what a try has saved of later epochs, and what kills left unfinished."""
    for slot in _SLOTS:
        for saved in saved_epochs(folder, slot):
            if saved > epoch:
                delete_folder(_epoch_folder(folder, slot, saved))
    tidy(folder)


def tidy(folder: Path) -> None:
    """Deletes what kills left unfinished of a try's checkpoints, or not yet deleted."""
    for slot in _SLOTS:
        if _slot_folder(folder, slot).is_dir():
            _keep_newest(folder, slot)
            remove_leftovers(_slot_folder(folder, slot), alone=True)


def _keep_newest(folder: Path, slot: Slot) -> None:
    for epoch in saved_epochs(folder, slot)[:-_KEPT]:
        delete_folder(_epoch_folder(folder, slot, epoch))


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
        ValueError: the checkpoint is damaged, of a newer format, not of this run, try,
            slot and epoch, or without the state of the optimiser that was asked for.
    """
    where = _epoch_folder(folder, slot, epoch)
    problem = damage(where)
    if problem is not None:
        raise ValueError(problem)
    meta = _read_meta(where)
    version = meta["format_version"]
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{where}: expected checkpoint format {FORMAT_VERSION}, found {version}"
        )
    check_belongs(where, meta)
    try:
        arrays = read_arrays(where / _ARRAYS)
    except OSError as error:
        raise ValueError(f"{where}: cannot be read as a checkpoint: {error}") from error
    if optimizer and "optimizer" not in arrays:
        raise ValueError(
            f"{where}: expected the state of the optimiser, found parameters only"
        )
    model = Model(
        config=parse_strategy(meta["strategy"], str(where)).masked(
            meta["cnn1d_masking"]
        ),
        params=arrays["params"],
        feature_facts=meta["feature_facts"],
    )
    progress = meta["progress"]
    return Checkpoint(
        model=model,
        epoch=min(epoch, progress["epoch"]) if progress else epoch,
        optimizer=arrays["optimizer"] if optimizer else None,
        progress=progress,
        settings=meta["settings"],
        loss=arrays.get("loss", {}),
        run=meta.get("run"),
    )


def read_progress(folder: Path, slot: Slot, epoch: int) -> Mapping[str, Any]:
    """Position of the training loop in a checkpoint that is known to be intact.

    Raises:
        ValueError: it is not of this run, try, slot and epoch.
    """
    where = _epoch_folder(folder, slot, epoch)
    meta = _read_meta(where)
    check_belongs(where, meta)
    return meta["progress"]


def load_model(folder: Path) -> Checkpoint:
    """Loads what a try is tested with: its best epoch if it kept one, else its last.

    Where the newest is damaged, a warning says so and the one before it is loaded.

    Args:
        folder: a `try_K` folder, or one that `convert` made.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: all of them are damaged, or of a newer format; or the one that is
            not is of another run, try, slot or epoch.
    """
    for slot in ("best", "last"):
        if not saved_epochs(folder, slot):
            continue
        epoch, problems = newest_usable(folder, slot)
        if epoch is None:
            # Those of the other slot would be other parameters than asked for.
            raise ValueError("; ".join(problems))
        for problem in problems:
            warnings.warn(f"{problem}; epoch {epoch} is used", stacklevel=2)
        return load(folder, slot, epoch)
    raise FileNotFoundError(
        f"{folder}: expected a checkpoint (a try_K folder of a run, or one made by "
        f"convert), found no {folder / 'checkpoints'} with one"
    )


def _read_meta(where: Path) -> dict[str, Any]:
    return read_object(where / _META, _META_KEYS)


def _epoch_folder(folder: Path, slot: Slot, epoch: int) -> Path:
    return _slot_folder(folder, slot) / str(epoch)


def _slot_folder(folder: Path, slot: Slot) -> Path:
    return folder / "checkpoints" / slot
