"""One strategy on one store: what all of its runs share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.batches.features import Features, check_inputs, load_features
from hm3_jax.learn.batches.placement import DataPlacement, PlacedFeatures, place
from hm3_jax.learn.batches.plan import MuseumSizes
from hm3_jax.learn.batches.statistics import standardising, with_statistics
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.split import Split
from hm3_jax.learn.model import ModelSpec
from hm3_jax.nn.strategy import StrategyConfig


class Task:
    """A strategy's features, placed once for all of its runs."""

    def __init__(
        self,
        store: FeatureStore,
        config: StrategyConfig,
        placement: DataPlacement = "auto",
    ):
        """Maps the features; places nothing yet.

        Args:
            store: open store.
            config: strategy.
            placement: where the features are to lie.

        Raises:
            ValueError: the store does not serve the strategy.
        """
        self.store, self.config = store, config
        self._placement: DataPlacement = placement
        self.features: Features = load_features(store, config)
        self.counts = MuseumSizes.of(self.features)
        self._sources: dict[Mesh, PlacedFeatures] = {}
        self._splits: dict[tuple[str, Layout, int | None], Split] = {}

    @property
    def spec(self) -> ModelSpec:
        """Structure of the strategy's models."""
        return ModelSpec(self.config)

    @property
    def splits_batches(self) -> bool:
        """Whether devices may share a batch: the published masking looks at it all."""
        return self.config.cnn1d_masking == "time"

    def initial(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fresh parameters, with what the strategy takes from the features.

        Args:
            params: as `learn.model.draw_params` gives them, on the host.
        """
        if not self.spec.compares_parts:
            return params
        train = np.asarray(self.store.splits["train"])
        return with_statistics(params, standardising(self.features, train))

    def source(self, layout: Layout) -> PlacedFeatures:
        """The features, placed for the devices of a layout when first asked."""
        if layout.mesh not in self._sources:
            self._sources[layout.mesh] = place(self.features, layout, self._placement)
        return self._sources[layout.mesh]

    def split(self, name: str, layout: Layout, most: int | None = None) -> Split:
        """A split of the store, planned for a layout when first asked.

        Args:
            name: of the split.
            layout: of the devices.
            most: museums that are enough, spread evenly over the split; all without it.

        Raises:
            ValueError: it has no museums.
        """
        if (name, layout, most) not in self._splits:
            museums = np.asarray(self.store.splits[name])
            if most is not None and most < len(museums):
                museums = museums[np.linspace(0, len(museums) - 1, most).astype(int)]
            self._splits[name, layout, most] = Split(
                self.source(layout),
                self.counts,
                np.asarray(self.features.themes),
                museums,
                f"{self.store.path}, split {name}",
                layout,
            )
        return self._splits[name, layout, most]


def check_store(store: FeatureStore, config: StrategyConfig) -> None:
    """Refuses a store that a strategy cannot be trained on; cheap.

    Raises:
        ValueError: features or a split are missing, or of another size.
    """
    check_inputs(store, config)
    for name in ("train", "val", "test"):
        if len(store.splits.get(name, ())) == 0:
            raise ValueError(
                f"{store.path}: expected museums in split {name}, found none"
            )
