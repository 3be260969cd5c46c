"""From a store's museums and a checkpoint to an index."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from safetensors.numpy import save

from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.query_encoder import TEXT_TOWER, encoder_facts
from hm3_jax.data.raw_museum import RawMuseum, sentences_of
from hm3_jax.data.store import FeatureStore
from hm3_jax.files.input_kinds import ARTWORK_KINDS
from hm3_jax.learn.batches.feature_facts import check_features
from hm3_jax.learn.batches.features import Features, load_features
from hm3_jax.learn.evaluation.embed_museums import embed_museums
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy_json import to_json
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.museums import Museums, pack_details

# Museums that are embedded at a time, with and without each of their rooms.
_MUSEUMS = 16384

Progress = Callable[[int, int], object]
"""Told how many museums of how many are done."""


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """What goes into an index.

    Attributes:
        museums: Embedded museums.
        facts: Where their vectors came from.
        files: Small files to keep with them.
    """

    museums: Museums
    facts: IndexFacts
    files: Mapping[str, bytes]


def embed_store(
    checkpoint: str | Path,
    store: FeatureStore,
    splits: Sequence[str] = (),
    listed: Mapping[str, RawMuseum] | None = None,
    progress: Progress = lambda done, total: None,
) -> Embedded:
    """Embeds a store's museums for an index.

    Args:
        checkpoint: What `load_checkpoint` takes: a folder, or a model on the hub.
        store: Features; of the model the checkpoint was trained on.
        splits: Which splits' museums; all of the store's without any.
        listed: Museums of a museum list by id, for titles and descriptions.
        progress: Told after every batch of museums.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If the checkpoint is damaged, the features are of another model, the
            store has no such split, or an embedding is not finite.
        ConnectionError: If the hub failed.
        ModuleNotFoundError: If the hub's library is needed and not installed.
    """
    chosen = chosen_museums(store, splits)
    saved = load_checkpoint(checkpoint, store)
    model = saved.model
    if not check_features(model, store.feature_facts(), str(store.path)):
        warnings.warn(
            f"{checkpoint} does not say which features it was trained on; only their "
            "sizes are checked",
            stacklevel=2,
        )
    features = load_features(store, model.config)
    offsets = np.asarray(store.room_offsets)
    vectors, rooms = [], []
    for first in range(0, len(chosen), _MUSEUMS):
        some = chosen[first : first + _MUSEUMS]
        for found, of_some in zip(
            (vectors, rooms), _vectors(model, features, some, store), strict=True
        ):
            found.append(of_some)
        progress(min(first + _MUSEUMS, len(chosen)), len(chosen))
    details, details_offsets = pack_details(
        [_detail(store, int(museum), listed or {}) for museum in chosen]
    )
    museums = Museums(
        ids=[store.ids[museum] for museum in chosen],
        themes=store.themes,
        theme_index=np.asarray(store.theme_index[chosen], np.int32),
        vectors=np.concatenate(vectors),
        room_offsets=np.concatenate([[0], np.cumsum(np.diff(offsets)[chosen])]),
        rooms=np.concatenate(rooms),
        details=details,
        details_offsets=details_offsets,
    )
    text = jax.tree.map(np.asarray, dict(model.params["text"]))
    return Embedded(museums, _facts(saved, store), {TEXT_TOWER: save(text)})


def chosen_museums(
    store: FeatureStore, splits: Sequence[str]
) -> Int[np.ndarray, " museums"]:
    """Museums of some splits, or of all, in the order of the store.

    Raises:
        ValueError: If there is no such split, or no museum in it.
    """
    for name in splits:
        if len(store.splits.get(name, ())) == 0:
            raise ValueError(
                f"{store.path}: expected museums in split {name!r}, found splits "
                + ", ".join(
                    f"{name} ({len(ids)})" for name, ids in store.splits.items()
                )
            )
    named = [store.splits[name] for name in splits or store.splits]
    return np.unique(np.concatenate(named)).astype(np.int64)


def _vectors(
    model: Model,
    features: Features,
    museums: Int[np.ndarray, " museums"],
    store: FeatureStore,
) -> tuple[Float[np.ndarray, "museums d"], Float[np.ndarray, "rooms d"]]:
    """Vectors of museums, and of each without each of its rooms, as an index has them.

    A museum of one room has its own vector in place of one without it.
    """
    embedded, without = embed_museums(model, features, museums)
    bad = ~np.isfinite(embedded).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{store.path}: expected finite embeddings, found NaN or infinity for "
            f"museum {store.ids[museums[bad.argmax()]]!r}"
        )
    vectors = unit(embedded)
    lengths = np.diff(np.asarray(store.room_offsets))[museums]
    by_room = np.repeat(vectors, lengths, axis=0)
    by_room[np.repeat(lengths > 1, lengths)] = unit(without)
    return vectors, by_room.astype(np.float16)


def _facts(saved: Checkpoint, store: FeatureStore) -> IndexFacts:
    model = saved.model
    return IndexFacts(
        model={
            "strategy": to_json(model.config),
            "cnn1d_masking": model.config.cnn1d_masking,
            "parameters_sha256": _checksum(model.params),
        },
        encoder=encoder_facts(store),
        origin={
            "dataset_name": store.dataset_name,
            "kind": store.manifest.kind,
            "epoch": saved.epoch,
        },
    )


def _checksum(params: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for path, array in sorted(
        (jax.tree_util.keystr(path), np.asarray(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(params))
    ):
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _detail(
    store: FeatureStore, museum: int, listed: Mapping[str, RawMuseum]
) -> dict[str, Any]:
    """What an index says about a museum, to show it."""
    raw = listed.get(store.ids[museum])
    title = {} if raw is None or raw.title is None else {"title": raw.title}
    if raw is None:
        description = store.sentence_texts(museum) or []
    else:
        description = sentences_of(raw.description)
    first, last = store.room_offsets[museum : museum + 2]
    held = {"views": store.views}
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            held[kind] = artworks.hung
    rooms = [
        {
            kind: int(column.offsets[room + 1] - column.offsets[room])
            for kind, column in held.items()
        }
        for room in range(first, last)
    ]
    return {**title, "description": description, "rooms": rooms}
