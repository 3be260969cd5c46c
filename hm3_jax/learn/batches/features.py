"""Features as a strategy reads them: flat rows and offsets, nothing padded.

They lie on the device as they lie in a store's files. A batch is nothing but museum
numbers (`learn.batches.plan`); gathering its rows, and zeroing what no museum owns,
happens inside the compiled step (`learn.batches.gather`).
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from hm3_jax.data.store import FeatureStore
from hm3_jax.nn.strategy import StrategyConfig

# On the host or on a device, which code that has one of them knows.
if TYPE_CHECKING:
    AnyArray = Any
else:
    AnyArray = Array | np.ndarray

Recurrence = Literal["rooms", "views"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RaggedColumn:
    """Features of one kind for every museum or room, on the host or on a device.

    Arrays that were fed have the mesh's two axes in front (`Features.fed`).

    Attributes:
        table: float16 or float32 (rows, d).
        offsets: int32 (sets + 1,); set i has items `offsets[i]:offsets[i + 1]`.
        index: row of `table` of each item, int32; None where items are the rows.
    """

    table: Float[AnyArray, "*mesh rows d"]
    offsets: Int[AnyArray, "*mesh sets_plus_1"]
    index: Int[AnyArray, "*mesh items"] | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Features:
    """What a strategy reads of a store.

    Attributes:
        sentences: by museum.
        items: "views" and, where the strategy has them, "images", "videos"; by room.
        room_offsets: int32 (museums + 1,); rooms of each museum.
        themes: int32 (museums,).
        recurrence: what the museum's recurrent model steps over; None without one.
        fed: whether every array has the mesh's axes in front, because each device was
            fed the museums of its own batches; else all devices hold all museums.
    """

    sentences: RaggedColumn
    items: Mapping[str, RaggedColumn]
    room_offsets: Int[AnyArray, "*mesh museums_plus_1"]
    themes: Int[AnyArray, "*mesh museums"]
    recurrence: Recurrence = dataclasses.field(metadata={"static": True})
    fed: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def bytes(self) -> int:
        """Size of all arrays."""
        return sum(x.nbytes for x in jax.tree.leaves(self))

    def local(self) -> "Features":
        """On a device, what it holds, without the axes of the mesh."""
        if not self.fed:
            return self
        return jax.tree.map(lambda x: x[0, 0], self)


def load_features(store: FeatureStore, config: StrategyConfig) -> Features:
    """What a strategy reads of a store, on the host: tables stay mapped from files.

    Args:
        store: open store.
        config: the strategy.

    Raises:
        ValueError: the store lacks a kind of features, or has another feature size.
    """
    check_inputs(store, config)

    def integers(x: np.ndarray) -> np.ndarray:
        return np.asarray(x, np.int32)

    items = {"views": RaggedColumn(store.views.values, integers(store.views.offsets))}
    for kind in config.uses[1:]:
        art = store.artworks(kind)
        assert art is not None  # check_inputs found them
        hung = art.hung
        items[kind] = RaggedColumn(
            art.table, integers(hung.offsets), integers(hung.values)
        )
    return Features(
        sentences=RaggedColumn(
            store.sentences.values, integers(store.sentences.offsets)
        ),
        items=items,
        room_offsets=integers(store.room_offsets),
        themes=integers(store.theme_index),
        recurrence=config.recurrence,
    )


def check_inputs(store: FeatureStore, config: StrategyConfig) -> None:
    """Refuses a store that lacks what a strategy reads.

    Raises:
        ValueError: a kind of features is missing or has another size.
    """
    for kind, size in config.inputs.items():
        if kind not in store.manifest.features:
            raise ValueError(
                f"{config.name} needs {kind}, but {store.path} has only "
                f"{', '.join(store.manifest.features)}"
            )
        found = store.feature_size(kind)
        if found != size:
            raise ValueError(
                f"{config.name} expects {kind} features of {size} floats, but "
                f"{store.path} has {found}"
            )
