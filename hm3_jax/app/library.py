"""Functions of the Python API that no other module has.

`import hm3_jax` offers them, with those of other modules.
"""

from __future__ import annotations

from pathlib import Path

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.evaluation.saved_model import (
    Evaluation,
    check_fits,
    chosen_splits,
    evaluate,
)
from hm3_jax.learn.saved.checkpoint import Checkpoint


def generate_store(folder: str | Path, config: SyntheticConfig) -> FeatureStore:
    """Generates museums with themes, for trying things out.

    Args:
        folder: Store to make; must not exist.
        config: How many museums, of what sizes.

    Raises:
        FileExistsError: If `folder` exists.
        ValueError: If a number is out of range.
    """
    synthesize(folder, config)
    return open_store(folder)


def evaluate_model(
    saved: Checkpoint, store: FeatureStore, split: str = "test"
) -> Evaluation:
    """Ranks the museums of a split for its descriptions, and the other way round.

    Args:
        saved: A model trained on such features, or made of them.
        store: Features.
        split: Of the store.

    Returns:
        Among others `metrics`, in percent or ranks, such as "t2s_R@10".

    Raises:
        ValueError: If there is no such split, the features are of another model, or an
            embedding is not finite.
    """
    name = saved.model.config.file_stem
    check_fits(saved, store, name)
    splits = chosen_splits(store, [split])
    ((_, evaluation),) = evaluate({name: saved}, store, splits)
    return evaluation
