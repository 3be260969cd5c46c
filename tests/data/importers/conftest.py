import pytest

from hm3_jax.data.importers.hm3 import read_hm3
from hm3_jax.data.importers.museum_list import read_museum_json
from hm3_jax.data.store import open_store, write_store
from hm3_jax.data.verify import verify_store


@pytest.fixture
def source():
    # Here, so that without torch a test is skipped rather than this file broken.
    from tests.data.importers.feature_sets import HM3

    return HM3()


@pytest.fixture
def import_set(tmp_path):
    """Writes a feature set, imports it and opens the store."""

    def import_set(source, **options):
        folder = source.write(tmp_path / "input")
        museum_list = read_museum_json(folder / "museums.json")
        imported = read_hm3(folder, "base", museum_list, **options)
        write_store(
            tmp_path / "store",
            imported.museums,
            dataset_name=imported.dataset_name,
            facts=imported.facts,
            artworks=imported.artworks,
            dtype="float32",
            origin=imported.origin,
            source=folder,
        )
        store = open_store(tmp_path / "store")
        assert verify_store(store.path) == []
        return store, imported.notes

    return import_set
