"""Tests a saved model on a split."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn import checkpoint
from hm3_jax.learn.evaluation import Tested
from hm3_jax.learn.feature_facts import check_features
from hm3_jax.learn.layout import Layout
from hm3_jax.learn.run_folder import write_json
from hm3_jax.learn.task import Task


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
      tested: metrics and embeddings.
    """

    strategy: str
    epoch: int
    split: str
    dataset_name: str
    dataset_kind: str
    ids: Sequence[str]
    tested: Tested

    def write(self, folder: Path) -> None:
        """Writes `metrics.json` and `embeddings.npz` into a new folder.

        Raises:
          FileExistsError: the folder is there.
        """
        folder.mkdir(parents=True)
        np.savez(
            folder / "embeddings.npz",
            ids=np.array(self.ids),
            descriptions=self.tested.descriptions,
            museums=self.tested.museums,
        )
        write_json(folder / "metrics.json", dict(self.tested.metrics))


def evaluate_checkpoint(folder: Path, store: FeatureStore, split: str) -> Evaluation:
    """Evaluates what a run saved, or a converted model.

    Args:
      folder: a `try_K` folder, or one made by `convert`.
      store: features; of the model the checkpoint was trained on.
      split: name of a split of the store.

    Raises:
      FileNotFoundError: there is no checkpoint.
      ValueError: the checkpoint is damaged, the features are of another model, or the
        store has no such split.
    """
    if len(store.splits.get(split, ())) == 0:
        raise ValueError(
            f"{store.path}: expected museums in split {split!r}, found splits "
            + ", ".join(f"{name} ({len(ids)})" for name, ids in store.splits.items())
        )
    saved = checkpoint.load_model(folder)
    model = saved.model
    known = check_features(model, store.feature_facts(), str(store.path))
    if not known:
        warnings.warn(
            f"{folder} does not say which features it was trained on; only their "
            "sizes are checked",
            stacklevel=2,
        )
    task = Task(store, model.config, model.cnn1d_masking)
    layout = Layout.of(1, splits_batches=model.cnn1d_masking == "time")
    (tested,) = task.split(split, layout).test(model.stacked(), task.graph)
    return Evaluation(
        strategy=model.config.file_stem,
        epoch=saved.epoch,
        split=split,
        dataset_name=store.dataset_name,
        dataset_kind=store.manifest.kind,
        ids=[store.ids[i] for i in store.splits[split]],
        tested=tested,
    )
