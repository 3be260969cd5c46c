"""Finds published stores among TFDS data sets, without loading TFDS."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from pathlib import Path

from hm3_jax.data.store_format import Manifest
from hm3_jax.data.tfds_format import DATASET_INFO, STORE_MANIFEST, VERSION


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedStore:
    """A store in the form of a TFDS data set.

    Attributes:
        folder: The folder of one version.
        manifest: Of the store it was made from.
        checksum: SHA-256 of the manifest's text, and so of all that is in the store.
    """

    folder: Path
    manifest: Manifest
    checksum: str


def find_published(spec: str) -> PublishedStore:
    """Finds a published store; needs no TFDS to do so.

    Args:
        spec: PATH or NAME, and :VERSION where it is not to be the newest. A PATH is
            the folder of a version, or one with versions in it. A NAME is one in TFDS's
            data_dir (the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets).
            What may be either is a NAME first where it has no slash.

    Raises:
        FileNotFoundError: If there is no such data set or no such version of it.
        ValueError: If it is another kind of TFDS data set, or its manifest is damaged.
    """
    folder = _version_folder(spec)
    file = folder / STORE_MANIFEST
    if not file.is_file():
        raise ValueError(
            f"{folder}: expected a TFDS data set made by hm3_jax.export_features, "
            f"found none of its {STORE_MANIFEST}"
        )
    text = file.read_bytes()
    try:
        manifest = Manifest.from_json(text.decode(), file)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8 text, found {error}") from None
    if manifest.to_json().encode() != text:
        raise ValueError(f"{file}: expected the text as it was written, found another")
    return PublishedStore(folder, manifest, hashlib.sha256(text).hexdigest())


def _version_folder(spec: str) -> Path:
    name, version = spec, None
    match = re.fullmatch(rf"(.+):({VERSION.pattern})", spec)
    if match and not Path(spec).is_dir():
        name, version = match[1], match[2]
    data_dir = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    # Path.expanduser fails where there is no home.
    path, named = (Path(os.path.expanduser(p)) for p in (name, data_dir / name))
    if name.startswith((".", "~", "/")):
        places = [path]
    else:
        # NAME/VERSION is a path too, and one that users of TFDS write.
        places = [path, named] if "/" in name else [named, path]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise FileNotFoundError(
            f"{spec}: expected a TFDS data set, found no "
            f"{' and no '.join(map(str, places))}"
        )
    if (place / DATASET_INFO).is_file():
        if version is not None and place.resolve().name != version:
            raise FileNotFoundError(
                f"{place}: expected version {version}, found {place.resolve().name}"
            )
        return place
    versions = {
        folder.name: folder
        for folder in place.iterdir()
        if VERSION.fullmatch(folder.name) and (folder / DATASET_INFO).is_file()
    }
    if not versions:
        raise FileNotFoundError(
            f"{place}: expected a TFDS data set, found no {DATASET_INFO} in it nor in "
            "a folder named after a version"
        )
    ordered = sorted(versions, key=lambda name: [int(n) for n in name.split(".")])
    if version is None:
        return versions[ordered[-1]]
    if version not in versions:
        raise FileNotFoundError(
            f"{place}: expected version {version}, found {', '.join(ordered)}"
        )
    return versions[version]
