"""Opens what `--features` names: a feature store, or a TFDS data set of one.

A TFDS data set is read once: its store is recreated in the user's cache, where it is
found by the checksum of its manifest. So training on the data set is training on the
store. From the second time on, it opens as fast as a store and needs no TFDS.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from hm3_jax.data.progress_lines import ProgressLines
from hm3_jax.data.store import FeatureStore, open_store, read_manifest
from hm3_jax.data.store_content import check_content
from hm3_jax.data.tfds_find import PublishedStore, find_published
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.data.user_cache import user_cache

TFDS_PREFIX = "tfds:"

FEATURES_HELP = (
    "Feature store, or tfds:PATH_OR_NAME[:VERSION] for a TFDS data set that "
    "export_features made."
)
"""What the help pages of all entries say about `--features`."""


def open_features(spec: str) -> FeatureStore:
    """Opens the features that `spec` names, and checks them for damage.

    Args:
        spec: The folder of a store, or `tfds:` and what
            `hm3_jax.data.tfds_find.find_published` takes, PATH_OR_NAME[:VERSION].

    Raises:
        FileNotFoundError: If there is no such store or data set, or a file is missing.
        ModuleNotFoundError: If a data set is to be read and TFDS is not installed.
        ValueError: If the store or data set is damaged or not one of ours.
    """
    folder = store_folder(spec)
    try:
        store = open_store(folder)
        check_content(folder, store.manifest)
        # Now: when they are asked for, another store may have taken this one's place.
        _ = store.ids
    except ValueError as error:
        if not spec.startswith(TFDS_PREFIX):
            raise
        raise ValueError(f"{error}: remove {folder}, and it is made again") from None
    return store


def store_folder(spec: str) -> Path:
    """The folder of the store that `spec` names, made first if it is a data set's.

    Raises as `open_features` does, but looks into the folder of no plain store.
    """
    if not spec.startswith(TFDS_PREFIX):
        return Path(spec)
    published = find_published(spec.removeprefix(TFDS_PREFIX))
    folder = _cache_folder(published)
    if not folder.exists():
        print(
            f"{published.folder}: making its feature store in {folder}", file=sys.stderr
        )
        try:
            unpack(published, folder, watch=ProgressLines(str(published.folder)))
        except FileExistsError:
            pass  # Another process has made the same one meanwhile.
    try:
        same = read_manifest(folder).checksum == published.manifest.checksum
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"{folder}: expected the store of {published.folder}, found another: "
            "remove this folder, and it is made again"
        )
    return folder


def _cache_folder(published: PublishedStore) -> Path:
    name = re.sub(r"\W+", "_", published.manifest.dataset_name)
    return user_cache("stores") / f"{name}-{published.checksum[:16]}"
