"""Tests saved models on splits."""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hm3_jax.data.store import FeatureStore
from hm3_jax.files.errors import naming
from hm3_jax.files.json_files import json_text
from hm3_jax.files.lines import write_text
from hm3_jax.learn.batches.feature_facts import check_feature_facts
from hm3_jax.learn.batches.features import check_inputs
from hm3_jax.learn.batches.spans import QUERY_SEED
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.embed_museums import embed_items
from hm3_jax.learn.evaluation.sentence_rooms import sentence_room_recall
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.learn.saved.run_folder import Tested
from hm3_jax.objective.room_recall import KEY as ROOM_RECALL
from hm3_jax.objective.room_recall import RoomRecall


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on a split.

    Attributes:
        strategy: file stem of the strategy.
        epoch: number of finished epochs of the tested parameters.
        split: name of the split.
        dataset_name: of the store.
        dataset_kind: "real" or "synthetic".
        ids: of the museums.
        themes: of the museums, numbers of the store's themes.
        tested: metrics and embeddings.
        rooms: whether sentences find the rooms that they are about, where the store
            knows these and the model compares sentences with items.
    """

    strategy: str
    epoch: int
    split: str
    dataset_name: str
    dataset_kind: str
    ids: Sequence[str]
    themes: Int[np.ndarray, " museums"]
    tested: Tested
    rooms: RoomRecall | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """All there are: the published ones, and where there is one, of rooms."""
        of_rooms = {} if self.rooms is None else {ROOM_RECALL: self.rooms.recall}
        return {**self.tested.metrics, **of_rooms}

    def write(self, folder: Path) -> None:
        """Writes `metrics.json` and `embeddings.npz` into a folder.

        For a model with many vectors per museum, these are the scores of all pairs.
        """
        path = folder / "embeddings.npz"
        arrays = {
            "descriptions": self.tested.descriptions,
            "museums": self.tested.museums,
        }
        if self.tested.scores is not None:
            arrays = {"scores": self.tested.scores}
        with naming(path):
            np.savez(path, allow_pickle=False, ids=np.array(self.ids), **arrays)
        write_text(folder / "metrics.json", json_text(self.metrics))


def chosen_splits(store: FeatureStore, names: Sequence[str]) -> list[str]:
    """Splits that are asked for, each once.

    Args:
        store: whose splits.
        names: of splits; "all" alone means all that have museums.

    Raises:
        ValueError: there is no such split, or no museum in it, or one is named twice.
    """
    if list(names) == ["all"]:
        names = [name for name, museums in store.splits.items() if len(museums)]
    for name in names:
        if len(store.splits.get(name, ())) == 0:
            raise ValueError(
                f"{store.path}: expected museums in split {name!r}, found splits "
                + ", ".join(
                    f"{known} ({len(museums)})"
                    for known, museums in store.splits.items()
                )
            )
    if len(set(names)) < len(names) or not names:
        raise ValueError(
            f"expected splits, each once, found {', '.join(names) or 'none'}"
        )
    return list(names)


def check_fits(saved: Checkpoint, store: FeatureStore, name: str) -> None:
    """Refuses features of another model than the one saved was trained on.

    Warns where the model does not know.

    Args:
        saved: the model.
        store: features.
        name: of the checkpoint, for messages.

    Raises:
        ValueError: they are of another, or lack what the model reads.
    """
    try:
        check_inputs(store, saved.model.config)
        known = check_feature_facts(saved.model, store.feature_facts(), str(store.path))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not known:
        warnings.warn(
            f"{name} does not say which features it was trained on; only their "
            "sizes are checked",
            stacklevel=2,
        )


def evaluate(
    models: Mapping[str, Checkpoint],
    store: FeatureStore,
    splits: Sequence[str],
    lengths: Sequence[int] = (),
    seed: int = QUERY_SEED,
    theme_weights: Sequence[float] = (),
) -> Iterator[tuple[str, Evaluation]]:
    """Evaluates models on splits.

    Models of one strategy follow one another: they share placed features and compiled
    programs, and no others are held meanwhile.

    Args:
        models: that `check_fits` let pass, by name.
        store: features.
        splits: as `chosen_splits` gave them.
        lengths: of queries to test with besides whole descriptions, see
            `Split.by_length`.
        seed: of their sentences.
        theme_weights: see `Split.test`.

    Yields:
        Names of models, and what they make of a split; the splits of a model in order.

    Raises:
        ValueError: an embedding is not finite.
    """
    waiting = dict(models)
    while waiting:
        config = next(iter(waiting.values())).model.config
        task = Task(store, config)
        of_kind = [n for n, saved in waiting.items() if saved.model.config == config]
        for name in of_kind:
            saved = waiting.pop(name)
            for split in splits:
                try:
                    evaluation = _evaluated(
                        saved, task, split, lengths, seed, theme_weights
                    )
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
                yield name, evaluation


def _evaluated(
    saved: Checkpoint,
    task: Task,
    split: str,
    lengths: Sequence[int],
    seed: int,
    theme_weights: Sequence[float],
) -> Evaluation:
    store = task.store
    layout = Layout.of(1, splits_batches=task.splits_batches)
    (tested,) = task.split(split, layout).test(
        saved.model.stacked(), task.spec, theme_weights, lengths, seed
    )
    museums = np.asarray(store.splits[split])
    return Evaluation(
        strategy=task.config.file_stem,
        epoch=saved.epoch,
        split=split,
        dataset_name=store.dataset_name,
        dataset_kind=store.manifest.kind,
        ids=[store.ids[i] for i in museums],
        themes=np.asarray(store.theme_index[museums]),
        tested=tested,
        rooms=_rooms(saved.model, task, museums),
    )


def _rooms(
    model: Model, task: Task, museums: Int[np.ndarray, " museums"]
) -> RoomRecall | None:
    if task.store.sentence_rooms is None or not model.spec.compares_parts:
        return None
    embedded = embed_items(model, task.features, museums)
    return sentence_room_recall(task.store, museums, InteractionTower(model), embedded)
