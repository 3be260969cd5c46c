"""A model that has not been trained: standardised features compared by their cosine."""

import jax
import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.batches.statistics import standardising, with_statistics
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.nn.interaction_strategy import INTERACTION_NAMES, LateInteractionConfig


def zero_shot(store: FeatureStore) -> Model:
    """Search without training: every sentence looks for the item nearest to it.

    Features are standardised by those of the store's training split, or of all its
    museums where there is none.

    Args:
        store: open store.

    Raises:
        ValueError: sentences and items have features of different sizes, so that they
            cannot be compared as they are.
    """
    sizes = {kind: store.feature_size(kind) for kind in store.manifest.features}
    if len(set(sizes.values())) != 1:
        raise ValueError(
            f"{store.path}: search without training expects features of one size, "
            "found " + ", ".join(f"{kind} of {size}" for kind, size in sizes.items())
        )
    kinds = tuple(kind for kind in sizes if kind != "sentences")
    name = next(n for n, uses in INTERACTION_NAMES.items() if set(uses) == set(kinds))
    config = LateInteractionConfig(
        name=name, size=sizes["sentences"], order=0, sizes=0, themes=0
    )
    features = load_features(store, config)
    train = np.asarray(store.splits.get("train", ()), np.int64)
    museums = train if len(train) else np.arange(len(store.theme_index))
    drawn = take_run(draw_params(config, jax.random.key(0)[None]), 0)
    params = with_statistics(drawn, standardising(features, museums))
    return Model(config, params, store.feature_facts())
