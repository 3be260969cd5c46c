"""import_features, inspect and synthesize as a user runs them."""

import json
import re
import shutil

import numpy as np
import pytest

from hm3_jax.data.store import open_store


def succeed(result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def fail(result, code=2):
    assert result.returncode == code, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    from hm3_jax.data.synthetic import synthesize
    from hm3_jax.data.synthetic_plan import SyntheticConfig

    path = tmp_path_factory.mktemp("synthetic") / "store"
    synthesize(path, SyntheticConfig(museums=20, feature_size=16, seed=5, views=2))
    return path


@pytest.fixture
def feature_set(tmp_path):
    feature_sets = pytest.importorskip("tests.data.importers.feature_sets")
    return feature_sets.HM3().write(tmp_path / "input")


def import_hm3(run_module, folder, *arguments):
    return run_module(
        "hm3_jax.import_features",
        "--source=hm3",
        f"--input={folder}",
        "--feature_set=base",
        f"--output={folder.parent / 'store'}",
        *arguments,
    )


def test_synthesize_makes_the_store_of_its_flags(run_module, tmp_path, synthetic):
    output = succeed(
        run_module(
            "hm3_jax.synthesize",
            "--output=made/store",
            "--museums=20",
            "--seed=5",
            "--views=2",
            "--feature_size=16",
        )
    )
    assert re.fullmatch(
        r"made/store: synthetic \(synthetic\): 20 museums \(14 train, 2 val, 4 test\), "
        r"\d+ themes, .* MB of float16; generated in [\d.]+ s\n",
        output,
    )
    for file in synthetic.iterdir():
        assert (
            tmp_path / "made" / "store" / file.name
        ).read_bytes() == file.read_bytes()


def test_synthesize_refuses_wrong_flags(run_module, synthetic):
    assert "--museums" in fail(run_module("hm3_jax.synthesize", "--output=store"))
    line = fail(run_module("hm3_jax.synthesize", "--output=store", "--museums=3"))
    assert "museums: expected at least 10, found 3" in line
    line = fail(
        run_module("hm3_jax.synthesize", f"--output={synthetic}", "--museums=20")
    )
    assert f"{synthetic}: expected a path to make a store at, it exists" in line


def test_inspect_says_what_is_in_a_store(run_module, synthetic):
    store = open_store(synthetic)
    output = succeed(run_module("hm3_jax.inspect_features", f"--features={synthetic}"))
    assert output.startswith(f"{synthetic}: synthetic (synthetic), format 1, float16")
    assert re.search(r"^train +14$", output, re.MULTILINE)
    assert re.search(r"^views per room +2.00 +2 +2$", output, re.MULTILINE)
    assert re.search(rf"^rooms +{len(store.views)}$", output, re.MULTILINE)
    for i, theme in enumerate(store.themes):
        counts = [
            int((store.theme_index[museums] == i).sum())
            for museums in store.splits.values()
        ]
        row = " +".join([theme, *map(str, counts)])
        assert re.search(rf"^{row}$", output, re.MULTILINE)
    assert "verified" not in output


def test_inspect_prints_json(run_module, synthetic):
    store = open_store(synthetic)
    summary = json.loads(
        succeed(
            run_module("hm3_jax.inspect_features", f"--features={synthetic}", "--json")
        )
    )
    assert summary["counts"] == dict(store.manifest.counts)
    assert summary["features"] == store.feature_facts()
    assert summary["lengths"]["rooms per museum"] == {
        "mean": pytest.approx(np.diff(store.room_offsets).mean()),
        "min": np.diff(store.room_offsets).min(),
        "max": np.diff(store.room_offsets).max(),
    }
    sizes = {file.name: file.stat().st_size for file in synthetic.iterdir()}
    del sizes["manifest.json"]
    assert summary["bytes"] == {"total": sum(sizes.values()), "files": sizes}
    assert sum(map(sum, (t.values() for t in summary["themes"].values()))) == 20


def test_inspect_verifies(run_module, synthetic, tmp_path):
    arguments = ("hm3_jax.inspect_features", "--features=store", "--verify")
    path = shutil.copytree(synthetic, tmp_path / "store")
    assert "verified: every byte" in succeed(run_module(*arguments))
    data = bytearray((path / "views.npy").read_bytes())
    data[1000] ^= 4
    (path / "views.npy").write_bytes(data)
    line = fail(run_module(*arguments), code=1)
    assert line.startswith("problem: store/views.npy: expected the")
    result = run_module(*arguments, "--json")
    assert result.returncode == 1
    assert "views.npy" in json.loads(result.stdout)["problems"][0]


def test_inspect_refuses_what_is_no_store(run_module):
    line = fail(run_module("hm3_jax.inspect_features", "--features=nowhere"))
    assert "nowhere: expected a feature store, found no manifest.json there" in line
    line = fail(
        run_module("hm3_jax.inspect_features", "--features=nowhere", "--verify")
    )
    assert "nowhere: expected a feature store" in line


def test_a_published_feature_set_is_imported(run_module, feature_set, tmp_path):
    output = succeed(
        import_hm3(
            run_module,
            feature_set,
            f"--museums={feature_set / 'museums.json'}",
            "--dtype=float32",
            "--model=RN50",
        )
    )
    assert re.search(
        r"small \(real\): 6 museums \(3 train, 1 val, 2 test\), 3 themes, 11 rooms, "
        r"21 sentences, 22 views, 3 videos, .*float32; imported in [\d.]+ s\n$",
        output,
    )
    store = open_store(tmp_path / "store")
    assert store.feature_facts()["views"]["model"] == "RN50"
    succeed(run_module("hm3_jax.inspect_features", "--features=store", "--verify"))


def test_the_data_sets_own_code_is_asked_if_it_is_named(
    run_module, feature_set, tmp_path
):
    museums = json.loads((feature_set / "museums.json").read_text())
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "utils.py").write_text(
        f"M = {museums!r}\n"
        "def getMuseumList(split):\n"
        "    return M['splits'][split]\n"
        "def getMuseumArtWorksPerRoom(id):\n"
        "    return [[] for room in M['videos'][id]], M['videos'][id]\n"
        "def loadDesc():\n"
        "    return {id: [[x] for x in all] for id, all in M['sentences'].items()}\n"
        "def flattenDescriptionList(nested):\n"
        "    return [text for room in nested for text in room]\n"
    )
    # One sentence a part: where there are as many as rooms, each is about its own.
    museums["sentence_rooms"] = {
        museum: list(range(len(texts)))
        for museum, texts in museums["sentences"].items()
        if len(texts) == len(museums["videos"][museum])
    }
    assert museums["sentence_rooms"]
    (tmp_path / "list.json").write_text(json.dumps(museums))
    succeed(import_hm3(run_module, feature_set, "--museums=list.json"))
    (tmp_path / "store").rename(tmp_path / "expected")
    succeed(import_hm3(run_module, feature_set, "--museums_package=package"))
    for file in (tmp_path / "expected").iterdir():
        assert file.read_bytes() == (tmp_path / "store" / file.name).read_bytes()


def test_help_says_that_a_package_is_run(run_module):
    output = succeed(run_module("hm3_jax.import_features", "--help"))
    assert "THIS RUNS THAT CODE" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--source=hm3"], "needs --feature_set=NAME"),
        (["--source=hm3", "--feature_set=a"], "--museums_package, found neither"),
        (
            ["--source=hm3", "--feature_set=a", "--museums=b", "--museums_package=c"],
            "--museums_package, found both",
        ),
        (["--source=museums3k", "--museums=m"], "--museums is for --source=hm3, found"),
        (["--source=apartments", "--video_pooling=mean"], "--video_pooling is for"),
        (["--source=hm3", "--apartments_model=M"], "is for --source=apartments, found"),
        (["--source=museums3k"], "nowhere: expected a folder of Museums3k"),
        (["--source=apartments"], "nowhere: expected a folder of apartments"),
        (["--source=other"], "--source"),
        ([], "--source"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(run_module, arguments, complaint):
    line = fail(
        run_module(
            "hm3_jax.import_features", "--input=nowhere", "--output=store", *arguments
        )
    )
    assert complaint in line


def test_faulty_input_is_refused_in_one_line(run_module, feature_set, tmp_path):
    museums = f"--museums={feature_set / 'museums.json'}"
    (feature_set / "povs.pickle").write_bytes(b"cposix\nsystem\n.")
    line = fail(import_hm3(run_module, feature_set, museums))
    assert "povs.pickle: expected only tensors, found a call for posix.system" in line
    (feature_set / "povs.pickle").unlink()
    assert "povs.pickle" in fail(import_hm3(run_module, feature_set, museums))
    assert not (tmp_path / "store").exists()


def test_an_existing_store_is_refused_before_anything_is_read(run_module, tmp_path):
    (tmp_path / "store").mkdir()
    line = fail(
        run_module(
            "hm3_jax.import_features",
            "--source=museums3k",
            "--input=nowhere",
            "--output=store",
        )
    )
    assert "store: expected a path to make a store at, it exists" in line
