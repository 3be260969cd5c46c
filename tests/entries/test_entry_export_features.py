"""export_features and what reads its data sets, as a user runs them."""

import json
from pathlib import Path

import pytest

from hm3_jax.data.tfds_format import DATASET_INFO
from hm3_jax.nn.strategy_json import strategy_text
from tests.commands import code_blocks, fail, output_of, succeed
from tests.learn import small

pytest.importorskip("array_record")
pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def run(run_module, tmp_path, monkeypatch):
    """Runs an entry with a cache of its own, in a folder that has a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    small.write(tmp_path / "store")
    return run_module


def export(run, *arguments):
    return run(
        "hm3_jax.export_features",
        "--to=tfds",
        "--features=store",
        "--output=data",
        *arguments,
    )


def test_a_store_is_published_and_comes_back(run, tmp_path):
    shown = succeed(export(run, "--citation=@misc{small}", "--version=1.2.0"))
    assert shown.startswith("data/small/1.2.0: small (real): 42 museums (14 train,")
    info = json.loads((tmp_path / "data/small/1.2.0" / DATASET_INFO).read_text())
    assert (info["citation"], info["version"]) == ("@misc{small}", "1.2.0")
    arguments = ("hm3_jax.import_features", "--source=tfds", "--output=again")
    shown = succeed(run(*arguments, "--input=data/small"))
    assert shown.startswith("again: small (real): 42 museums (14 train, 14 val")
    assert small.contents(tmp_path / "again") == small.contents(tmp_path / "store")
    fail(run(*arguments, "--input=data/small"), "again: expected a path to make a s")
    fail(
        run(*arguments[:2], "--output=x", "--input=small", "--dtype=float16"),
        "--dtype is for other sources, found --source=tfds",
    )
    fail(
        run(*arguments[:2], "--output=x", "--input=small:1.0.0"),
        "data/small: expected version 1.0.0, found 1.2.0",
    )
    fail(export(run, "--version=1.2.0"), "data/small/1.2.0: expected a version that")
    fail(export(run, "--name=A"), "name: expected small letters")
    fail(run("hm3_jax.export_features", "--to=tfds"), "missing --features, --output")


def results(workdir: Path) -> dict[str, bytes]:
    """All that a run says of its strategies in JSON; nothing of it depends on time."""
    return {
        name: content
        for name, content in small.contents(workdir).items()
        if name.endswith((".json", ".jsonl"))
        and "checkpoints" not in name
        and not name.endswith(("experiment.json", "speed.jsonl"))
    }


@pytest.mark.thorough
def test_training_on_the_data_set_is_training_on_the_store(run, tmp_path):
    succeed(export(run))
    (tmp_path / "flat.json").write_text(strategy_text(small.FLAT))
    for features in ("store", "tfds:small"):
        result = run(
            "hm3_jax.train",
            f"--features={features}",
            f"--workdir=runs/{features}",
            "--config_files=flat.json",
            "--batch_size=5",
            "--epochs=2",
            "--number_of_tries=1",
        )
        assert result.returncode == 0, result.stderr
        assert ("making its feature store" in result.stderr) == (features != "store")
        assert "\nsmall (real features): 14 train, 14 val" in result.stdout
    expected = results(tmp_path / "runs" / "store")
    names = {name.rpartition("/")[2] for name in expected}
    assert names >= {"metrics.jsonl", "test_metrics.json", "test_output.json"}
    assert results(tmp_path / "runs" / "tfds:small") == expected

    (strategy,) = tmp_path.glob("runs/store/*/rnn_meanPoolProc")
    evaluate = (
        "hm3_jax.evaluate",
        "--features=tfds:data/small:1.0.0",
        f"--checkpoint={strategy / 'try_1'}",
        "--output=evaluated",
    )
    succeed(run(*evaluate))
    metrics = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    assert metrics == small.outcome(strategy, 1)["metrics"]


def test_inspect_shows_and_verifies_a_data_set(run, tmp_path):
    succeed(export(run))
    arguments = ("hm3_jax.inspect_features", "--features=tfds:small")
    assert run(*arguments, "--json").returncode == 0
    shown = json.loads(succeed(run(*arguments, "--json")))
    of_store = json.loads(
        succeed(run("hm3_jax.inspect_features", "--features=store", "--json"))
    )
    assert Path(shown.pop("path")).is_relative_to(tmp_path / "cache")
    del of_store["path"]
    assert shown == of_store
    assert "verified: every byte" in succeed(run(*arguments, "--verify"))
    fail(
        run("hm3_jax.inspect_features", "--features=tfds:large"),
        "large: expected a TFDS data set, found no",
    )


def test_the_documented_program_reads_a_data_set(run, tmp_path, repository):
    succeed(export(run))
    (program,) = code_blocks(repository / "docs" / "feature_store.md", "python")
    program = program.replace("published/genmuseums/1.0.0", "data/small/1.0.0")
    shown = output_of(program, tmp_path).splitlines()
    records = [museum for museum in small.records() if museum.split == "train"]
    expected = []
    for museum in records:
        expected.append(f"{museum.id} {museum.theme} {museum.sentences.shape}")
        for room in museum.rooms:
            videos = (len(room.videos), small.SIZES["videos"])
            expected.append(f"  a room: {room.views.shape} {videos}")
    assert shown == expected
