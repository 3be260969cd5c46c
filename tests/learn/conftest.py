"""What the tests of training share: a store, its features, and a finished run."""

import shutil
from pathlib import Path

import pytest

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.learn.batches.features import Features, load_features
from hm3_jax.learn.batches.plan import MuseumSizes
from tests.learn import small


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return open_store(small.write(tmp_path_factory.mktemp("small") / "store"))


@pytest.fixture(scope="session")
def features(store: FeatureStore) -> Features:
    return load_features(store, small.BY_ROOM)


@pytest.fixture(scope="session")
def counts(features: Features) -> MuseumSizes:
    return MuseumSizes.of(features)


@pytest.fixture(scope="session")
def finished(store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an experiment with `small.BY_ROOM` and `small.SETTINGS`."""
    folder = tmp_path_factory.mktemp("finished") / "experiment"
    small.train(store, folder)
    return folder


@pytest.fixture(scope="session")
def folder(finished: Path) -> Path:
    """Its strategy's folder."""
    return finished / small.BY_ROOM.file_stem


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished experiment."""
    return shutil.copytree(finished, tmp_path / "copy")
