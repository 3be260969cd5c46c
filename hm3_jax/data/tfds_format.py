"""How a feature store is laid out as a TensorFlow Datasets (TFDS) data set.

A published store is a folder DATA_DIR/NAME/VERSION as TFDS expects it: ArrayRecord
files of each split with one museum an example, `dataset_info.json`, `features.json`.
What museums share, and what makes the store the store it was, lies beside them:

| file | contents |
|---|---|
| `images.npy`, `image_ids.txt` | each image once, as in the store (videos likewise) |
| `store_manifest.json` | the store's manifest, byte for byte |

TFDS works without TensorFlow as long as no feature is a sequence of sequences, so
ragged columns are sequences of tensors that are kept as bytes.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hm3_jax.data.museum import ARTWORK_KINDS
from hm3_jax.data.store import FeatureStore
from hm3_jax.data.store_format import ATTACHMENTS, Manifest, artwork_ids_name
from hm3_jax.files.extras import how_to_install

STORE_MANIFEST = "store_manifest.json"
DATASET_INFO = "dataset_info.json"

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Publication:
    """What the publisher says about a data set.

    Attributes:
        name: Name in TFDS, in small letters, digits and underscores; "" for one made
            from the store's own.
        version: MAJOR.MINOR.PATCH.
        description: What the data set is; "" for a text made from the manifest.
        citation: How to cite it, in BibTeX; "" if there is nothing to cite.
        homepage: Address of its page, or "".
        license: Under what terms others may use it, or "".
    """

    name: str = ""
    version: str = "1.0.0"
    description: str = ""
    citation: str = ""
    homepage: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a name or a version that TFDS would not take."""
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError(
                "name: expected small letters, digits and underscores after a first "
                f"letter, found {self.name!r}"
            )
        if not VERSION.fullmatch(self.version):
            raise ValueError(
                f"version: expected MAJOR.MINOR.PATCH, found {self.version!r}"
            )

    def name_for(self, manifest: Manifest) -> str:
        """The name, made from the store's where none was given.

        Raises:
            ValueError: If the store's name has no letter that a name may begin with.
        """
        if self.name:
            return self.name
        name = re.sub("[^a-z0-9]+", "_", manifest.dataset_name.lower()).strip("_")
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"expected a name for TFDS, as the store's, {manifest.dataset_name!r}, "
                "makes none"
            )
        return name


def load_tfds() -> ModuleType:
    """The package tensorflow_datasets.

    Raises:
        ModuleNotFoundError: If it, or something that it needs, is not installed.
    """
    try:
        # The first two are loaded when first used, with other messages.
        import array_record.python.array_record_module  # noqa: F401
        import importlib_resources  # noqa: F401
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"TFDS data sets need {error.name}, which is not installed: "
            f"{how_to_install('tfds')}",
            name=error.name,
        ) from None
    return tensorflow_datasets


def files_beside(manifest: Manifest) -> list[str]:
    """Files of the store that are published as they are.

    These are artworks and their ids, and what a store has for people to read.
    """
    artworks = [
        name
        for kind in ARTWORK_KINDS
        if kind in manifest.features
        for name in (f"{kind}.npy", artwork_ids_name(kind))
    ]
    return artworks + [name for name in ATTACHMENTS if name in manifest.files]


def dataset_info(
    store: FeatureStore, publication: Publication, folder: Path
) -> Any:  # tfds.core.DatasetInfo
    """The `tfds.core.DatasetInfo` of a store that is published to `folder`."""
    tfds = load_tfds()
    manifest = store.manifest
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=publication.name_for(manifest),
        version=tfds.core.Version(publication.version),
        data_dir=str(folder),
        module_name="hm3_jax.data.tfds_format",
    )
    return tfds.core.DatasetInfo(
        builder=identity,
        description=publication.description or _description(store),
        features=_features(store),
        homepage=publication.homepage or None,
        citation=publication.citation,
        license=publication.license or None,
        # What programs need to know of the features without opening the manifest.
        metadata=tfds.core.MetadataDict(
            dataset_name=manifest.dataset_name,
            kind=manifest.kind,
            dtype=manifest.dtype,
            themes=list(manifest.themes),
            features=store.feature_facts(),
        ),
        disable_shuffling=True,
    )


def _features(store: FeatureStore) -> Any:  # tfds.features.FeaturesDict
    tf = load_tfds().features
    dtype = np.dtype(store.manifest.dtype)

    def matrix(kind: str, doc: str) -> Any:
        # Half floats and tables of unknown length exist in TFDS only as bytes.
        shape = (None, store.feature_size(kind))
        return tf.Tensor(shape=shape, dtype=dtype, encoding="bytes", doc=doc)

    rooms: dict[str, Any] = {
        "views": matrix("views", "Features of the room's screenshots, in order.")
    }
    for kind in ARTWORK_KINDS:
        if store.artworks(kind) is not None:
            rooms[kind] = tf.Tensor(
                shape=(None,),
                dtype=np.int32,
                encoding="bytes",
                doc=f"What hangs in the room: rows of {kind}.npy, whose names are the "
                f"lines of {artwork_ids_name(kind)}.",
            )
    features: dict[str, Any] = {
        "id": tf.Text(doc="Name of the museum."),
        "index": tf.Scalar(dtype=np.int64, doc="Place of the museum in the data set."),
        "theme": tf.Text(doc="Theme (category) of the museum."),
        "theme_index": tf.Scalar(
            dtype=np.int64, doc="The theme's place in the list in metadata.json."
        ),
        "sentences": matrix(
            "sentences", "Features of the description's sentences, in order."
        ),
        "rooms": tf.Sequence(rooms, doc="The museum's rooms, in order."),
    }
    if store.texts is not None:
        features["sentence_texts"] = tf.Sequence(
            tf.Text(), doc="The sentences themselves, one for each feature."
        )
    if store.sentence_rooms is not None:
        features["sentence_rooms"] = tf.Tensor(
            shape=(None,),
            dtype=np.int32,
            encoding="bytes",
            doc="The room that each sentence is about, from 0; -1 if not known.",
        )
    return tf.FeaturesDict(features)


def _description(store: FeatureStore) -> str:
    manifest = store.manifest
    models = "; ".join(
        f"{kind}: {facts.feature_size} floats"
        + (f" of {facts.model}" if facts.model else "")
        + (f" ({facts.weights})" if facts.weights else "")
        for kind, facts in manifest.features.items()
    )
    made_up = " The features are synthetic: nothing real was seen or read to make them."
    tables = [name for name in files_beside(manifest) if name.endswith(".npy")]
    beside = f" What hangs in rooms is in {' and '.join(tables)}." if tables else ""
    return (
        f"{manifest.dataset_name}: virtual museums and their descriptions, as features "
        f"of frozen models ({models}). An example is a museum: sentences of its "
        f"description, and rooms with what they show.{beside}"
        f"{made_up if manifest.kind == 'synthetic' else ''} Made by hm3_jax, which "
        f"makes a feature store of it again."
    )
