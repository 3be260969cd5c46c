"""What lies in a run's folder and is not of that run, or was edited, is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hm3_jax.files.belonging import check_belongs
from hm3_jax.files.file_list import FILE_LIST, list_of
from hm3_jax.learn.saved import checkpoint
from tests.learn import small

STEM = small.BY_ROOM.file_stem


@pytest.fixture
def tries(copy: Path) -> list[Path]:
    """Folders of the two tries of a copy."""
    return [copy / STEM / f"try_{k}" for k in (1, 2)]


def newest(folder: Path, slot: checkpoint.Slot) -> Path:
    epoch = checkpoint.saved_epochs(folder, slot)[-1]
    return folder / "checkpoints" / slot / str(epoch)


def change_meta(where: Path, **changes: Any) -> None:
    """Changes what a checkpoint says, and its list of files; None takes away."""
    meta = json.loads((where / "meta.json").read_text()) | changes
    meta = {name: value for name, value in meta.items() if value is not None}
    (where / "meta.json").write_text(json.dumps(meta))
    names = [str(f.relative_to(where)) for f in where.rglob("*") if f.is_file()]
    text = list_of(where, [name for name in names if name != FILE_LIST])
    (where / FILE_LIST).write_text(text)


def as_earlier_versions_wrote(folder: Path) -> None:
    for where in (folder / "checkpoints").glob("*/*"):
        meta = json.loads((where / "meta.json").read_text())
        progress = {k: v for k, v in meta["progress"].items() if k != "log_checksum"}
        change_meta(where, slot=None, epoch=None, run=None, progress=progress)


def refused(store, copy: Path, complaint: str) -> None:
    before = small.contents(copy)
    with pytest.raises(ValueError, match=complaint) as caught:
        small.train(store, copy, resume=True)
    assert "\n" not in str(caught.value)
    assert small.contents(copy) == before


@pytest.mark.parametrize("slot", ["last", "best"])
def test_a_checkpoint_of_another_try_is_refused(store, copy, tries, slot):
    mine, other = (newest(folder, slot) for folder in tries)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    # Their best epochs differ, their last do not.
    what = "try 1, .* of 2: put" if slot == "last" else "epoch 2, .* of 3: put"
    complaint = f"{slot}/{mine.name}: expected the checkpoint of {what}"
    with pytest.raises(ValueError, match=complaint):
        checkpoint.load(tries[0], slot, int(mine.name))
    if slot == "best":
        with pytest.raises(ValueError, match=complaint):
            checkpoint.load_model(tries[0])
    refused(store, copy, complaint)


def test_an_epoch_under_the_name_of_another_is_refused(store, copy, tries):
    last = tries[1] / "checkpoints" / "last"
    (last / "5").rename(last / "4")
    refused(store, copy, "last/4: expected the checkpoint of epoch 4, .* that of 5")


def test_a_slot_does_not_stand_in_for_another(store, copy, tries):
    best = newest(tries[0], "best")
    last = tries[0] / "checkpoints" / "last" / best.name
    shutil.rmtree(best)
    shutil.copytree(newest(tries[0], "last"), best)
    assert not last.exists()
    refused(store, copy, "expected the checkpoint of (epoch|slot)")


def test_tries_that_changed_places_are_refused(store, copy, tries):
    one, two = tries
    one.rename(copy / "x")
    two.rename(one)
    (copy / "x").rename(two)
    with pytest.raises(ValueError, match="the record of try 1, found that of try 2"):
        checkpoint.load_model(one)
    refused(store, copy, "the run there has try 2, asked is 1")


def test_a_copy_is_as_good_wherever_it_lies(store, finished, tmp_path):
    wanted = checkpoint.load_model(finished / STEM / "try_1")
    for where in ("again/try_1", "a_model"):
        shutil.copytree(finished / STEM / "try_1", tmp_path / where)
        found = checkpoint.load_model(tmp_path / where)
        assert (found.epoch, found.run) == (wanted.epoch, wanted.run)
    assert wanted.run == {
        "experiment": "experiment",
        "strategy": STEM,
        "try": 1,
        "features_checksum": store.manifest.checksum,
    }


@pytest.mark.parametrize(
    ("of_meta", "complaint"),
    [
        ({"settings": {"lr": 0.2}}, "of lr 0.1, found that of 0.2"),
        ({"settings": {"seed": None}}, "of seed 3, found that of None"),
        ({"strategy": {"a": {"b": 2}}}, "of strategy.a.b 1, found that of 2"),
        ({"run": {"features_checksum": "cd"}}, "of features_checksum 'ab', found"),
        ({"slot": "last"}, "of slot 'best', found that of 'last'"),
        ({"epoch": 3}, "of epoch 4, found that of 3"),
        ({"progress": {"best_epoch": 2}}, "of epoch 4, found that of 2"),
    ],
)
def test_what_differs_is_named(tmp_path, of_meta, complaint):
    record = {
        "settings": {"lr": 0.1, "seed": 3, "try": 1},
        "strategy": {"a": {"b": 1}},
        "features_checksum": "ab",
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    where = tmp_path / "checkpoints" / "best" / "4"
    # One that says nothing may be any; a setting of another version is not compared.
    check_belongs(where, {"settings": {"new": 1}, "progress": None, "run": None})
    # Nor is the epoch of a try that had ended, in earlier versions.
    ended = {"settings": {"epochs": 3}, "progress": {"epoch": 3, "ended": False}}
    check_belongs(where.parents[1] / "last" / "4", ended)
    with pytest.raises(
        ValueError, match=f"best/4: expected the checkpoint {complaint}"
    ):
        check_belongs(where, of_meta)


def test_a_changed_digit_of_an_earlier_epoch_is_refused(store, copy, tries):
    log = tries[1] / "metrics.jsonl"
    text = log.read_text()
    place = text.index('"train_loss": 0.') + len('"train_loss": 0.')
    digit = "1" if text[place] == "9" else "9"
    log.write_text(text[:place] + digit + text[place + 1 :])
    refused(store, copy, "try_2/metrics.jsonl: damaged or edited: the lines of the 5")


def test_runs_of_earlier_versions_go_on(store, folder, copy, tries):
    for each in tries:
        as_earlier_versions_wrote(each)
        shutil.rmtree(newest(each, "last"))
    small.train(store, copy, resume=True)
    assert small.results(copy / STEM) == small.results(folder)


def test_but_not_from_what_is_seen_to_be_another_tries(store, copy, tries):
    for each in tries:
        as_earlier_versions_wrote(each)
    mine, other = (newest(folder, "last") for folder in tries)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    refused(store, copy, "last epoch 5: expected the checkpoint of this run, whose met")
