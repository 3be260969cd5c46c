"""What a report makes of run folders that are not as they should be."""

import json
import shutil

import pytest

from hm3_jax.reporting.read_runs import find_runs
from tests.reporting.run_folders import change, theme_settings, write, write_run


def read(*folders):
    said = []
    runs = find_runs(folders, said.append)
    return runs, said


def test_finished_runs(tmp_path):
    write_run(tmp_path / "STL" / "rnn_rnn")
    write_run(tmp_path / "T" / "rnn_rnn", settings=theme_settings(0.5))
    runs, said = read(tmp_path)
    assert said == []
    assert [run.name for run in runs] == ["STL/rnn_rnn", "T/rnn_rnn"]
    (first, _) = runs
    assert first.complete and first.state == ""
    assert str(first.data) == "generatedDigitalExps (real features, abababab)"
    values = [
        json.loads((first.folder / f"try_{k}" / "test_metrics.json").read_text())
        for k in (1, 2)
    ]
    a, b = (value["metrics"]["t2s_mAP"] for value in values)
    assert first.mean("t2s_mAP") == pytest.approx((a + b) / 2)
    assert first.deviation("t2s_mAP") == pytest.approx(abs(a - b) / 2**0.5)


def test_folders_of_a_strategy_and_of_two_workdirs(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"seed_{seed}" / "STL" / "rnn_rnn", tries=[1])
    (one,), _ = read(tmp_path / "seed_1" / "STL" / "rnn_rnn")
    assert one.name == "STL/rnn_rnn"
    runs, _ = read(tmp_path / "seed_1", tmp_path / "seed_2")
    assert [run.name for run in runs] == [
        "seed_1/STL/rnn_rnn",
        "seed_2/STL/rnn_rnn",
    ]


def test_runs_that_a_storage_box_keeps_after_their_removal_are_none(tmp_path):
    write_run(tmp_path / "STL" / "rnn_rnn", tries=[1, 2])
    for trash in ("#recycle", ".Trash-1000/files", "@Recycle"):
        write_run(tmp_path / trash / "old" / "rnn_rnn", tries=[1, 2])
    runs, said = read(tmp_path)
    assert [run.name for run in runs] == ["STL/rnn_rnn"]
    assert said == []


def test_fewer_failed_and_unfinished_tries(tmp_path):
    folder = write_run(
        tmp_path / "STL" / "rnn_rnn", tries=[1, 2, 3], settings={"number_of_tries": 4}
    )
    write(folder / "try_2" / "failed.json", {"failure": "loss is nan in epoch 3"})
    (folder / "try_3" / "test_metrics.json").unlink()
    (run,), said = read(tmp_path)
    assert [t.number for t in run.tries] == [1]
    assert not run.complete
    assert run.deviation("t2s_mAP") is None
    assert run.state == (
        "1 of 4 tries; try 2 failed (loss is nan in epoch 3); try 3 unfinished (3 of "
        "25 epochs); try 4 missing"
    )
    assert said == [f"{folder}: {run.state}"]


# (what is done to try 2, what is said of it)
DAMAGE = {
    "half a record": (
        lambda t: (t / "run.json").write_text('{"settings": '),
        "run.json: expected JSON, found Expecting value",
    ),
    "no record": (
        lambda t: (t / "run.json").unlink(),
        "run.json: expected a run's record, found none",
    ),
    "a list": (lambda t: write(t / "run.json", []), "run.json: expected a JSON object"),
    "bytes": (
        lambda t: (t / "test_metrics.json").write_bytes(b"\xff\x00"),
        "test_metrics.json: expected JSON, found 'utf-8' codec",
    ),
    "no data set": (
        lambda t: change(t / "run.json", dataset_name=None),
        "run.json: expected a run's record, found none of dataset_name",
    ),
    "a newer record": (
        lambda t: change(t / "run.json", weather="fair"),
        "found also weather (of a newer version?)",
    ),
    "words as settings": (
        lambda t: change(t / "run.json", settings={"loss_margin": "wide"}),
        "expected a number as loss_margin, found 'wide'",
    ),
    "no metrics": (
        lambda t: write(t / "test_metrics.json", {"epoch": 1}),
        "test_metrics.json: expected epoch and metrics, found others",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_try_is_named_and_left_out(tmp_path, name):
    damage, line = DAMAGE[name]
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    write_run(tmp_path / "T" / "rnn_rnn")
    damage(folder / "try_2")
    (run, other), said = read(tmp_path)
    assert [t.number for t in run.tries] == [1] and other.complete
    assert line in said[0] and said[0].endswith("; the try is left out")
    assert said[1:] == [f"{folder}: 1 of 2 tries; try 2 unreadable"]


def test_a_newer_checkpoint_is_named_and_left_out(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    checkpoint = folder / "try_1" / "checkpoints" / "last" / "25"
    checkpoint.mkdir(parents=True)
    write(checkpoint / "meta.json", {"format_version": 2})
    (run,), said = read(tmp_path)
    assert [t.number for t in run.tries] == [2]
    assert "expected checkpoint format 1, found 2 (of a newer version?)" in said[0]


def test_tries_of_other_features_are_reported_apart(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    change(folder / "try_2" / "run.json", features_checksum="cd" * 32)
    (one, two), said = read(tmp_path)
    assert one.name == "STL/rnn_rnn (tries 1)" and two.name == "STL/rnn_rnn (tries 2)"
    assert one.data != two.data
    assert "different settings or features (generatedDigitalExps (real" in said[0]


def test_tries_of_other_settings_are_reported_apart(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    record = json.loads((folder / "try_2" / "run.json").read_text())
    change(folder / "try_2" / "run.json", settings=record["settings"] | {"lr": 1})
    runs, said = read(tmp_path)
    assert len(runs) == 2 and "(lr 0.0005 and 1)" in said[0]


def test_tries_of_other_strategies_are_reported_apart(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    record = json.loads((folder / "try_2" / "run.json").read_text())
    other = record["strategy"] | {"uses_flattened_hierarchy": False}
    change(folder / "try_2" / "run.json", strategy=other)
    runs, said = read(tmp_path)
    assert len(runs) == 2
    assert "(uses_flattened_hierarchy True and False)" in said[0]


def test_missing_metrics_are_missing_not_averaged(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    path = folder / "try_2" / "test_metrics.json"
    metrics = json.loads(path.read_text())["metrics"]
    del metrics["t2s_mAP"]
    metrics["t2s_R@1"] = float("nan")
    change(path, metrics=metrics)
    (run,), said = read(tmp_path)
    assert run.mean("t2s_mAP") is None and run.mean("t2s_R@1") is None
    assert run.mean("t2s_R@5") is not None
    assert said == [f"{path}: has no number for t2s_R@1, t2s_mAP"]


def test_what_experiment_json_lists_but_nobody_finds(tmp_path):
    write_run(tmp_path / "STL" / "rnn_rnn")
    shutil.rmtree(write_run(tmp_path / "STL" / "rnn_cnn1d"))
    runs, said = read(tmp_path)
    assert len(runs) == 1
    (line,) = said
    assert "experiment.json lists rnn_cnn1d, which has no tries there" in line


def test_a_damaged_experiment_json_costs_the_kind_only(tmp_path):
    write_run(tmp_path / "STL" / "rnn_rnn")
    (tmp_path / "STL" / "experiment.json").write_text("{")
    (run,), (line,) = read(tmp_path)
    assert run.data.kind == "unknown" and run.complete
    assert line.endswith("; its runs' own files are used")


def test_no_runs(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: expected a folder of runs"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"expected run folders \(with try_1\)"):
        read(tmp_path)


def test_a_try_in_the_place_of_another_is_named_and_left_out(tmp_path):
    folder = write_run(tmp_path / "e" / "rnn_rnn", tries=(1, 2, 3))
    shutil.rmtree(folder / "try_2")
    shutil.copytree(folder / "try_1", folder / "try_2")
    where = folder / "try_3" / "checkpoints" / "last" / "25"
    where.mkdir(parents=True)
    own = {"slot": "last", "epoch": 25, "run": {"try": 1, "strategy": "rnn_rnn"}}
    write(where / "meta.json", own)
    said = []
    (run,) = find_runs([tmp_path], said.append)
    assert [t.number for t in run.tries] == [1]
    assert any("expected the record of try 2, found that of try 1" in s for s in said)
    assert any("checkpoint of try 3, found that of 1" in s for s in said)
    # A run of another strategy, with its checkpoints; a renamed folder may be any.
    write(where / "meta.json", {"run": {"try": 3, "strategy": "gru"}})
    said.clear()
    (run,) = find_runs([tmp_path], said.append)
    assert any("expected a try of rnn_rnn, found one of gru" in s for s in said)
    folder.rename(folder.with_name("mine"))
    (run,) = find_runs([tmp_path], lambda line: None)
    assert [t.number for t in run.tries] == [1, 3]
