"""Published museum sets for the tests of TFDS."""

from pathlib import Path
from typing import Any

from hm3_jax.data.store import open_store
from hm3_jax.data.tfds_format import Publication
from hm3_jax.data.tfds_writer import publish_store
from tests.data.museum_sets import write


def publish(folder: Path, records: Any = None, version: str = "1.0.0", **changes: Any):
    """Writes a store FOLDER/store, publishes it into FOLDER/data; returns where."""
    write(folder / "store", records, **changes)
    return publish_store(
        open_store(folder / "store"), folder / "data", Publication(version=version)
    )
