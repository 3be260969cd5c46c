"""What `build_index` is told to do, and doing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from hm3_jax.app.index_building import EmbeddedStore, embed_store
from hm3_jax.app.model_names import ZERO_SHOT
from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.open_index import SearchIndex, open_index
from hm3_jax.app.query_encoder import model_of
from hm3_jax.data.museum_jsonl import read_museum_files
from hm3_jax.data.open_features import open_features
from hm3_jax.data.progress_lines import ProgressLines
from hm3_jax.data.raw_museum import RawMuseum
from hm3_jax.data.store import FeatureStore
from hm3_jax.files.durable import refuse_existing
from hm3_jax.files.words import counted
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.retrieval import index as index_files
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.engine.publish import publish
from hm3_jax.retrieval.index import Index
from hm3_jax.retrieval.index_format import IndexManifest
from hm3_jax.retrieval.index_writer import (
    append_museums,
    create_index,
    remove_museums,
    write_head,
)


@dataclasses.dataclass(frozen=True, slots=True)
class IndexInputs:
    """Museums to embed, and the model that embeds them.

    Attributes:
        checkpoint: What `load_checkpoint` takes: a folder, or a model on the hub.
        features: Feature store, or a TFDS data set, as `open_features` takes it.
        splits: Splits whose museums are meant; all without any.
        museums: Museum list with titles and descriptions, or None.
    """

    checkpoint: str | Path
    features: str
    splits: tuple[str, ...] = ()
    museums: Path | None = None


def build(inputs: IndexInputs, output: Path, *, append: bool = False) -> str:
    """Makes an index of museums, or adds them to one.

    Args:
        inputs: The museums, and the model.
        output: Folder of the index.
        append: Whether to add to the index there.

    Returns:
        A line about what was done.

    Raises:
        FileExistsError: If `output` exists and is not to be added to.
        FileNotFoundError: If the store, the checkpoint or the index is missing.
        ValueError: If one of them is damaged, or they do not fit each other.
        ConnectionError: If the hub failed.
        ModuleNotFoundError: If the hub's library is needed and not installed.
    """
    there = None
    if append:
        # Says so if there is none, before the long work.
        there = index_files.open_index(output)
    elif output.exists():
        raise FileExistsError(
            f"{output}: expected no such folder, found one (--append adds to an index)"
        )
    embedded = _embed(inputs, there)
    if append:
        manifest = append_museums(output, embedded.museums, embedded.facts)
    else:
        manifest = create_index(
            output, embedded.museums, embedded.facts, embedded.files
        )
    return (
        f"{counted(len(embedded.museums), 'museum')} embedded; {output} has "
        + _size(manifest)
    )


def remove(output: Path, ids: tuple[str, ...]) -> str:
    """Drops museums from an index; raises as `remove_museums`."""
    manifest = remove_museums(output, ids)
    return f"{counted(len(set(ids)), 'museum')} removed; {output} has " + _size(
        manifest
    )


def verify(output: Path) -> str:
    """Checks every byte of an index; raises as `open_index`."""
    index = index_files.open_index(output)
    index_files.verify_index(index)
    index.museums.check(str(output))
    museums = counted(len(index.museums), "museum")
    return f"{output}: verified, {museums}: every byte is as it was written"


def copy_to_engine(output: Path, engine: Engine) -> str:
    """Copies an index to Qdrant; raises as `publish`."""
    index = index_files.open_index(output)
    name = publish(index, engine, ProgressLines("copying to Qdrant"))
    return f"{engine.uri}: collection {name} has {counted(len(index), 'museum')}"


def write_client(output: Path, client: Path) -> str:
    """Writes what a machine needs of an index to search it by an engine.

    Raises:
        FileExistsError: If `client` is another folder.
        FileNotFoundError: If there is no index.
        ValueError: If it is damaged.
    """
    write_head(client, index_files.open_head(output))
    return f"{client}: what a machine needs to search {output} by --uri"


def make_index(
    folder: str | Path,
    saved: Checkpoint,
    store: FeatureStore,
    *,
    splits: Sequence[str] = (),
    museums: str | Path | None = None,
) -> SearchIndex:
    """Makes an index of a store's museums, and opens it.

    Args:
        folder: Of the index; must not exist.
        saved: A model trained on such features, or made of them.
        store: Features.
        splits: Splits whose museums are meant; all without any.
        museums: Museum list with titles and descriptions, or None.

    Raises:
        FileExistsError: If `folder` exists.
        FileNotFoundError: If the museum list is missing.
        ValueError: If the features are of another model, or the store has no such
            split or no museum of the list.
    """
    path = Path(folder)
    refuse_existing(path, "an index")
    listed = None if museums is None else _listed(Path(museums), store)
    embedded = embed_store(saved, store, splits, listed)
    create_index(path, embedded.museums, embedded.facts, embedded.files)
    return open_index(path)


def _size(manifest: IndexManifest) -> str:
    museums = counted(manifest.counts["museums"], "museum")
    return f"{museums} of {counted(len(manifest.themes), 'theme')}"


def _embed(inputs: IndexInputs, there: Index | None) -> EmbeddedStore:
    store = open_features(inputs.features)
    listed = None
    if inputs.museums is not None:
        listed = _listed(inputs.museums, store)
    return embed_store(
        _model(inputs, store, there),
        store,
        inputs.splits,
        listed,
        ProgressLines("embedding"),
    )


def _listed(path: Path, store: FeatureStore) -> dict[str, RawMuseum]:
    """The museums of a list by id, some of which have to be a store's."""
    files = read_museum_files(path)
    listed = {museum.id: museum for museum in files.museums}
    if not any(museum in listed for museum in store.ids):
        raise ValueError(
            f"{files.source}: expected museums of {store.path}, found none of them"
        )
    return listed


def _model(inputs: IndexInputs, store: FeatureStore, there: Index | None) -> Checkpoint:
    """The model to embed museums with that are added to an index, or begin one."""
    if str(inputs.checkpoint) == ZERO_SHOT and there is not None:
        # Made of another store's features it would be another model.
        epoch = there.manifest.facts.origin.get("epoch")
        model = model_of(there)
        if epoch:
            raise ValueError(
                f"{there.path}: the index was made with a model trained for {epoch} "
                f"epochs, found {ZERO_SHOT}"
            )
        return Checkpoint(model, epoch=0)
    return load_checkpoint(inputs.checkpoint, store)
