"""A small museum set and strategies for it, for the tests of training.

Sentences and views of a museum share a direction, so that there is something to learn.
Every split has museums of the same sizes, and no batch of five needs another capacity
than any other: what is compiled once serves most tests.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.data.museum import ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts, FeatureStore, write_store
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.saved_model import Evaluation, evaluate
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution, TrainSettings
from hm3_jax.learn.training.experiment import Experiment, Listeners, run_experiments
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.optimizer import Rates
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.nn.strategy import (
    ConvConfig,
    PoolConfig,
    RecurrentConfig,
    StrategyConfig,
    TowersConfig,
)
from hm3_jax.tracking.tracker import Tracker

SIZES = {"sentences": 8, "views": 7, "images": 6, "videos": 5}
THEMES = ("genre", "marine", "portrait", "still-life")
SPLITS = ("val", "train", "test")
MUSEUMS = 42  # 14 a split: two batches of five and one of four
BATCH = 5
# Museums of the training split hang these only; the first museum is not one of them.
_TRAIN_ARTWORKS = slice(2, 9)

_TEXT = RecurrentConfig(cell="gru", in_size=8, hidden_size=6, bidirectional=True)
_KINDS = {kind: SIZES[kind] for kind in ("views", "images", "videos")}

BY_ROOM = TowersConfig(
    name="hier_by_room_rnn_meanPoolProc_image_video",
    text=_TEXT,
    room=PoolConfig(kinds=_KINDS, size=4, out_size=4),
    museum=RecurrentConfig(cell="gru", in_size=4, hidden_size=6, bidirectional=True),
)
FLAT = TowersConfig(
    name="rnn_meanPoolProc",
    text=_TEXT,
    room=None,
    museum=PoolConfig(kinds={"views": 7}, size=6, out_size=6),
)
CONVOLUTION = TowersConfig(
    name="rnn_cnn1d",
    text=_TEXT,
    room=None,
    museum=ConvConfig(kinds={"views": 7}, channels=8, kernel_size=3, out_size=6),
)
# Ends with the best epoch far behind: the learning rate grows beyond all sense.
SETTINGS = TrainSettings(
    seed=7,
    batch_size=BATCH,
    epochs=5,
    lr=0.01,
    scheduler_step_size=2,
    scheduler_gamma=12.0,
    number_of_tries=2,
    save_strategy="best",
    best_strategy="t2s_mAP",
    use_categories_in_loss=True,
    loss_within_category_margin=0.15,
    second_loss_component_weight=0.2,
    second_loss_component_weight_decay_factor=0.5,
)


def records() -> list[MuseumRecord]:
    """Museums of 1 to 3 rooms, some rooms without images, videos or both."""
    rng = np.random.default_rng(0)
    to_text, to_view = rng.standard_normal((2, 8, 8))
    ids = {kind: np.array(table.ids) for kind, table in artworks().items()}

    def features(shared: np.ndarray, count: int, size: int) -> np.ndarray:
        rows = shared[:size] + 0.3 * rng.standard_normal((count, size))
        return rows.astype(np.float32)

    def museum(i: int) -> MuseumRecord:
        split, j = SPLITS[i % 3], i // 3
        shared = rng.standard_normal(8)

        def some_of(kind: str, count: int) -> tuple[str, ...]:
            known = ids[kind][_TRAIN_ARTWORKS] if split == "train" else ids[kind]
            return tuple(rng.choice(known, size=count).tolist())

        def room(k: int) -> RoomRecord:
            # The very first artwork hangs in the very first room.
            images = some_of("images", (j + k) % 3)
            videos = some_of("videos", (j // 2 + k) % 2)
            if i == k == 0:
                images = videos = ("art-0",)
            views = features(shared @ to_view, 1 + (j + k) % 2, SIZES["views"])
            return RoomRecord(views, images, videos)

        return MuseumRecord(
            id=f"museum-{i}",
            split=split,
            theme=THEMES[j % 4],
            sentences=features(shared @ to_text, 1 + j % 5, SIZES["sentences"]),
            rooms=tuple(room(k) for k in range(1 + j % 3)),
        )

    return [museum(i) for i in range(MUSEUMS)]


def artworks() -> dict[str, ArtworkTable]:
    rng = np.random.default_rng(1)
    return {
        kind: ArtworkTable(
            tuple(f"art-{i}" for i in range(12)),
            rng.standard_normal((12, SIZES[kind])).astype(np.float32),
        )
        for kind in ("images", "videos")
    }


def facts(**changes: Any) -> dict[str, FeatureFacts]:
    known = {"model": "ViT-B-32", "weights": "openai", **changes}
    return {kind: FeatureFacts(size, **known) for kind, size in SIZES.items()}


def write(path: Path, museums: Any = None, **changes: Any) -> Path:
    """Writes `records()`, or other museums, with `artworks()` unless told otherwise."""
    arguments: dict[str, Any] = {
        "dataset_name": "small",
        "facts": facts(),
        "artworks": artworks(),
        **changes,
    }
    write_store(path, records() if museums is None else museums, **arguments)
    return path


def one_device(runs: int) -> Layout:
    """All runs side by side on the first device."""
    return Layout.of(runs, jax.devices()[:1], vector=runs)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def train(
    store: FeatureStore,
    folder: Path,
    *strategies: StrategyConfig,
    listener: Callable[[EpochReport], None] = lambda report: None,
    resume: bool = False,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    stop: GracefulStop | None = None,
    trackers: Sequence[Tracker] = (),
    **changes: Any,
) -> Path:
    """Runs an experiment with `BY_ROOM`, or other strategies, and changed `SETTINGS`.

    Returns:
        The folder of its first strategy.
    """
    experiment = Experiment(
        strategies=strategies or (BY_ROOM,),
        settings=dataclasses.replace(SETTINGS, **changes),
        folder=folder,
        name=folder.name,
    )
    silent = Listeners(lambda *_: None, listener, lambda *_: None)
    run_experiments(
        [experiment],
        store,
        silent,
        execution,
        resume=resume,
        stop=stop,
        trackers=trackers,
    )
    return folder / experiment.strategies[0].file_stem


def interrupt_after(epoch: int) -> Callable[[EpochReport], None]:
    """A listener that ends training like Ctrl-C, before the epoch is saved."""

    def listener(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise KeyboardInterrupt

    return listener


def evaluated(folder: Path, store: FeatureStore, split: str) -> Evaluation:
    """What the checkpoint in a folder makes of a split."""
    saved = checkpoint.load_model(folder)
    ((_, evaluation),) = evaluate({str(folder): saved}, store, [split])
    return evaluation


def log(folder: Path, attempt: int) -> list[dict[str, Any]]:
    """Lines of `metrics.jsonl` of a try, `folder` being the strategy's."""
    text = (folder / f"try_{attempt}" / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def same_losses(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Compares the losses in the lines of two logs, up to the last bits."""
    assert len(found) == len(wanted)
    for key in ("train_loss", "val_loss"):
        losses = [[line[key] for line in lines] for lines in (found, wanted)]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def outcome(folder: Path, attempt: int) -> dict[str, Any]:
    """`test_metrics.json` of a try."""
    return json.loads((folder / f"try_{attempt}" / "test_metrics.json").read_text())


def results(folder: Path) -> dict[str, bytes]:
    """Every file below a strategy's folder but checkpoints and what tells the time."""
    return {
        name: data
        for name, data in contents(folder).items()
        if "checkpoints" not in name and not name.endswith("speed.jsonl")
    }


def rates(lr: float, runs: int = 1) -> Rates:
    """Of an epoch of several runs, without weight decay."""
    return Rates(jnp.full(runs, lr, jnp.float32), jnp.zeros(runs, jnp.float32))
