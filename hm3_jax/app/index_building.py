"""From a store's museums and a checkpoint to an index."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import Float, Int
from safetensors.numpy import save

from hm3_jax.app.describers import encoder_facts
from hm3_jax.app.query_encoder import TEXT_TOWER, WHOLE_MODEL
from hm3_jax.data.raw_museum import RawMuseum, sentences_of
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.store_content import check_unchanged
from hm3_jax.files.input_kinds import ARTWORK_KINDS
from hm3_jax.learn.batches.feature_facts import check_feature_facts
from hm3_jax.learn.batches.features import Features, load_features
from hm3_jax.learn.evaluation.embed_museums import embed_items, embed_without_rooms
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy_json import to_json
from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.fit import LENGTHS, calibrated
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.item_museums import concatenated, item_museums
from hm3_jax.retrieval.museums import KnownMuseums, Museums, pack_details

# Parts of descriptions of each length that tell what fits.
_PARTS = 200
# Museums that are embedded at a time, with and without each of their rooms.
_MUSEUMS = 16384

Progress = Callable[[int, int], object]
"""Told how many museums of how many are done."""


@dataclasses.dataclass(frozen=True, eq=False)
class EmbeddedStore:
    """What goes into an index.

    Attributes:
        museums: Embedded museums.
        facts: Where their vectors came from.
        files: Small files to keep with them.
    """

    museums: KnownMuseums
    facts: IndexFacts
    files: Mapping[str, bytes]


def embed_store(
    saved: Checkpoint,
    store: FeatureStore,
    splits: Sequence[str] = (),
    listed: Mapping[str, RawMuseum] | None = None,
    progress: Progress = lambda done, total: None,
) -> EmbeddedStore:
    """Embeds a store's museums for an index.

    Args:
        saved: The model.
        store: Features; of the model that `saved` was trained on.
        splits: Which splits' museums; all of the store's without any.
        listed: Museums of a museum list by id, for titles and descriptions.
        progress: Told after every batch of museums.

    Raises:
        ValueError: If the features are of another model, the store has no such split
            or was written to meanwhile, or an embedding is not finite.
    """
    embedded = _embedded(saved, store, splits, listed, progress)
    check_unchanged(store)
    return embedded


def _embedded(
    saved: Checkpoint,
    store: FeatureStore,
    splits: Sequence[str],
    listed: Mapping[str, RawMuseum] | None,
    progress: Progress,
) -> EmbeddedStore:
    chosen = chosen_museums(store, splits)
    model = saved.model
    if not check_feature_facts(model, store.feature_facts(), str(store.path)):
        warnings.warn(
            "the model does not say which features it was trained on; only their "
            "sizes are checked",
            stacklevel=2,
        )
    features = load_features(store, model.config)
    details, details_offsets = pack_details(
        [_detail(store, int(museum), listed or {}) for museum in chosen]
    )
    known = {
        "ids": [store.ids[museum] for museum in chosen],
        "themes": store.themes,
        "theme_index": np.asarray(store.theme_index[chosen], np.int32),
        "details": details,
        "details_offsets": details_offsets,
    }
    if model.spec.compares_parts:
        return _by_items(saved, store, features, chosen, known, progress)
    vectors, rooms = [], []
    for some in _batches(chosen, progress):
        of_museums, of_rooms = _vectors(model, features, some, store)
        vectors.append(of_museums)
        rooms.append(of_rooms)
    lengths = np.diff(np.asarray(store.room_offsets))[chosen]
    museums = Museums(
        **known,
        vectors=np.concatenate(vectors),
        room_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        rooms=np.concatenate(rooms),
    )
    text = jax.tree.map(np.asarray, dict(model.params["text"]))
    return EmbeddedStore(
        museums, _facts(saved, store, encoder_facts(store)), {TEXT_TOWER: save(text)}
    )


def _by_items(
    saved: Checkpoint,
    store: FeatureStore,
    features: Features,
    chosen: Int[np.ndarray, " museums"],
    known: Mapping[str, Any],
    progress: Progress,
) -> EmbeddedStore:
    """Museums embedded item by item; arguments as `embed_store` has them."""
    model = saved.model
    tower = InteractionTower(model)
    parts = []
    for some in _batches(chosen, progress):
        part = embed_items(model, features, some)
        parts.append(dataclasses.replace(part, items=part.items.astype(np.float16)))
    museums = item_museums(
        embedded=concatenated(parts),
        sharpness=tower.sharpness,
        theme_weight=tower.theme_weight,
        **known,
    )
    fit = calibrated(
        museums, exact_search(museums), _parts_of_descriptions(tower, store, chosen)
    )
    # Pictures are asked with, too.
    encoder = {**encoder_facts(store), "pictures": store.feature_facts()["views"]}
    facts = _facts(
        saved,
        store,
        encoder,
        sharpness=tower.sharpness,
        theme_weight=tower.theme_weight,
    )
    if fit is not None:
        origin = {**facts.origin, "fit": fit.to_json()}
        facts = dataclasses.replace(facts, origin=origin)
    params = {
        name: np.asarray(array)
        for name, array in flatten_dict(dict(model.params), sep=".").items()
    }
    return EmbeddedStore(museums, facts, {WHOLE_MODEL: save(params)})


def _parts_of_descriptions(
    tower: InteractionTower, store: FeatureStore, chosen: Int[np.ndarray, " museums"]
) -> dict[int, list[tuple[int, QueryVectors]]]:
    """Parts of descriptions as `calibrated` takes them, drawn from those there are."""
    rng = np.random.default_rng(0)
    offsets = np.asarray(store.sentences.offsets)
    counts = np.diff(offsets)[chosen]
    parts: dict[int, list[tuple[int, QueryVectors]]] = {}
    for length in LENGTHS:
        able = np.flatnonzero(counts >= length)
        rows = rng.choice(able, _PARTS if len(able) else 0)
        firsts = offsets[chosen[rows]] + rng.integers(counts[rows] - length + 1)
        features = [
            np.asarray(store.sentences.values[first : first + length], np.float32)
            for first in firsts
        ]
        parts[length] = list(zip(rows.tolist(), tower(features), strict=True))
    return parts


def _batches(
    chosen: Int[np.ndarray, " museums"], progress: Progress
) -> Iterator[Int[np.ndarray, " some"]]:
    """Museums in batches; tells about each when it is done with."""
    for first in range(0, len(chosen), _MUSEUMS):
        yield chosen[first : first + _MUSEUMS]
        progress(min(first + _MUSEUMS, len(chosen)), len(chosen))


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
    if not splits:
        return np.arange(len(store.theme_index))
    named = [store.splits[name] for name in splits]
    return np.unique(np.concatenate(named)).astype(np.int64)


def _vectors(
    model: Model,
    features: Features,
    museums: Int[np.ndarray, " museums"],
    store: FeatureStore,
) -> tuple[Float[np.ndarray, "museums d"], Float[np.ndarray, "rooms d"]]:
    """Vectors of museums, and of each without each of its rooms, as an index has them.

    A museum of one room has its own vector instead of one without it.
    """
    embedded, without = embed_without_rooms(model, features, museums)
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


def _facts(
    saved: Checkpoint,
    store: FeatureStore,
    encoder: Mapping[str, Any],
    **model_facts: float,
) -> IndexFacts:
    model = saved.model
    return IndexFacts(
        model={
            "strategy": to_json(model.config),
            "cnn1d_masking": model.config.cnn1d_masking,
            "parameters_sha256": _checksum(model.params),
            **model_facts,
        },
        encoder=encoder,
        origin={
            "dataset_name": store.dataset_name,
            "kind": store.manifest.kind,
            "epoch": saved.epoch,
            "features": model.feature_facts,
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
    rooms: list[dict[str, Any]] = [
        {
            kind: int(column.offsets[room + 1] - column.offsets[room])
            for kind, column in held.items()
        }
        for room in range(first, last)
    ]
    if raw is not None and len(raw.rooms) == len(rooms):
        for room, listed_room in zip(rooms, raw.rooms, strict=True):
            if listed_room.title is not None:
                room["title"] = listed_room.title
    return {**title, "description": description, "rooms": rooms}
