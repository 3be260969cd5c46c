"""What `--features` may name: stores, and TFDS data sets by path, name and version."""

import shutil
import sys

import pytest

from hm3_jax.data import open_features as module
from hm3_jax.data.open_features import open_features, store_folder
from hm3_jax.data.store import open_store
from hm3_jax.data.tfds_find import find_published
from hm3_jax.data.tfds_format import Publication
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.data.tfds_writer import publish_store
from tests.data import tfds_sets
from tests.data.museum_sets import contents, write

pytest.importorskip("array_record")
pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with `store` and `data/small/{1.9.0,1.10.0}`."""
    folder = tmp_path_factory.mktemp("small")
    tfds_sets.publish(folder, version="1.9.0")
    store = open_store(folder / "store")
    publish_store(store, folder / "data", Publication(version="1.10.0"))
    # What a publisher that was killed leaves behind is no version.
    (folder / "data" / "small" / ".2.0.0.partial-x").mkdir()
    (folder / "data" / "small" / "3.0.0").mkdir()
    return folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch, small):
    """Nothing of the user's own is read or written."""
    for name in ("here", "home", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(small / "data"))


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("{data}/small", "1.10.0"),
        ("{data}/small/", "1.10.0"),
        ("{data}/small/1.9.0", "1.9.0"),
        ("{data}/small:1.9.0", "1.9.0"),
        ("{data}/small/1.9.0:1.9.0", "1.9.0"),
        ("small", "1.10.0"),
        ("small:1.9.0", "1.9.0"),
        ("small/1.9.0", "1.9.0"),
        ("~/sets/small:1.9.0", "1.9.0"),
    ],
)
def test_data_sets_are_found(small, tmp_path, spec, version):
    shutil.copytree(small / "data", tmp_path / "home" / "sets")
    found = find_published(spec.format(data=small / "data"))
    assert found.folder.name == version
    assert found.manifest == open_store(small / "store").manifest


def test_names_are_looked_for_in_the_data_dir_first(small, monkeypatch, tmp_path):
    shutil.copytree(small / "data" / "small" / "1.9.0", tmp_path / "here/small/1.9.0")
    assert find_published("small").folder.name == "1.10.0"
    assert find_published("./small").folder.name == "1.9.0"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    assert find_published("small").folder.name == "1.9.0"
    monkeypatch.delenv("TFDS_DATA_DIR")
    shutil.copytree(small / "data", tmp_path / "home" / "tensorflow_datasets")
    assert find_published("small").folder.name == "1.10.0"


def test_a_folder_may_be_called_like_a_version(small, tmp_path):
    odd = tmp_path / "here" / "small:1.0.0"
    shutil.copytree(small / "data" / "small" / "1.9.0", odd / "1.9.0")
    assert find_published("./small:1.0.0").folder == odd.relative_to(odd.parent) / (
        "1.9.0"
    )


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            "large",
            "large: expected a TFDS data set, found no .*data/large and no large$",
        ),
        ("./small", r"\./small: expected a TFDS data set, found no small$"),
        ("small:1.0.0", "small: expected version 1.0.0, found 1.9.0, 1.10.0"),
        ("small/1.9.0:1.0.0", "1.9.0: expected version 1.0.0, found 1.9.0"),
        ("small/3.0.0", "3.0.0: expected a TFDS data set, found no dataset_info.json"),
        ("{store}", "store: expected a TFDS data set, found no dataset_info.json"),
    ],
)
def test_what_is_not_there_is_named(small, spec, complaint):
    with pytest.raises(FileNotFoundError, match=complaint):
        find_published(spec.format(store=small / "store"))


def test_a_store_is_opened_as_it_is(small, tmp_path):
    store = open_features(str(small / "store"))
    assert store.path == small / "store" == store_folder(str(small / "store"))
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(FileNotFoundError, match="large: expected a feature store"):
        open_features("large")


def test_a_data_set_is_made_a_store_once(small, tmp_path, capsys, monkeypatch):
    store = open_features("tfds:small")
    assert contents(store.path) == contents(small / "store")
    (stores,) = (tmp_path / "cache" / "hm3_jax").iterdir()
    assert [store.path] == list(stores.iterdir())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"{small}/data/small/1.10.0: making its feature store in {store.path}\n"
    )
    # From now on neither TFDS nor the other version with the same museums is read.
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert open_features("tfds:small").path == store.path
    assert open_features("tfds:small:1.9.0").path == store.path
    assert capsys.readouterr().err == ""


def test_other_museums_are_another_store(small, tmp_path):
    other = tfds_sets.publish(tmp_path, dtype="float32")
    assert open_features(f"tfds:{other}").manifest.dtype == "float32"
    assert open_features("tfds:small").manifest.dtype == "float16"


def test_without_a_cache_home_it_is_in_the_home(tmp_path, monkeypatch):
    for setting in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
        path = open_features("tfds:small").path
        assert path.parent == tmp_path / "home" / ".cache" / "hm3_jax" / "stores"


def test_two_processes_may_make_it_at_once(small, monkeypatch):
    def slower(published, output, *, watch):
        unpack(published, output)
        unpack(published, output, watch=watch)

    monkeypatch.setattr(module, "unpack", slower)
    assert contents(open_features("tfds:small").path) == contents(small / "store")


def test_a_store_that_was_changed_in_the_cache_is_refused(small):
    path = open_features("tfds:small").path
    shutil.rmtree(path)
    write(path, dtype="float32")
    with pytest.raises(ValueError, match="found another: remove this folder"):
        open_features("tfds:small")
    shutil.rmtree(path)
    assert contents(open_features("tfds:small").path) == contents(small / "store")
