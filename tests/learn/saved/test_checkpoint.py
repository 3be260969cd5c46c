"""Checkpoints: exact, whole or refused, and only for the features they know."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hm3_jax.learn.batches.feature_facts import check_feature_facts
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from tests.learn import small


def parameters(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    # Large enough that Orbax gives it a file of its own; and what JSON would lose.
    kernel = rng.standard_normal((40, 30)).astype(np.float32)
    bias = np.array([-0.0, 1e-42, np.pi, 3e38], np.float32)
    return {"text": {"kernel": kernel}, "scene": {"room": {"bias": bias}}}


def model(seed: int = 0, **changes: Any) -> Model:
    facts = {kind: dataclasses.asdict(f) for kind, f in small.facts().items()}
    plain = Model(small.BY_ROOM, parameters(seed), facts)
    return dataclasses.replace(plain, **changes)


FULL = Checkpoint(
    model(),
    epoch=3,
    optimizer={"count": np.int32(9), "mu": parameters(1), "nu": parameters(2)},
    progress={"epoch": 3, "best_epoch": 2},
    settings={"lr": 0.1, "tags": [1, None]},
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "try_1"
    checkpoint.save(folder, "last", FULL)
    return folder


def same(found: Any, wanted: Any) -> None:
    def leaf(found, wanted):
        assert found.dtype == wanted.dtype
        assert found.tobytes() == wanted.tobytes()

    jax.tree.map(leaf, found, wanted)


def test_what_is_loaded_is_what_was_saved(saved):
    found = checkpoint.load(saved, "last", 3, optimizer=True)
    same(found.model.params, FULL.model.params)
    same(found.optimizer, FULL.optimizer)
    assert found.epoch == 3
    assert found.model.config == small.BY_ROOM
    assert found.model.config.cnn1d_masking == "time"
    assert found.model.feature_facts == FULL.model.feature_facts
    assert (found.progress, found.settings) == (FULL.progress, FULL.settings)


def test_the_optimizer_is_left_alone_unless_asked_for(saved):
    assert checkpoint.load(saved, "last", 3).optimizer is None


def test_a_converted_model_knows_little(tmp_path):
    converted = model(config=small.CONVOLUTION.masked("channels"))
    converted = dataclasses.replace(converted, feature_facts=None)
    checkpoint.save(tmp_path, "best", Checkpoint(converted, epoch=0))
    found = checkpoint.load_model(tmp_path)
    assert (found.epoch, found.progress, found.settings) == (0, None, None)
    assert found.model.feature_facts is None
    assert found.model.config.cnn1d_masking == "channels"


def test_the_best_epoch_is_preferred_and_the_newest_of_a_kind(tmp_path):
    def save(slot, epoch, seed):
        checkpoint.save(tmp_path, slot, Checkpoint(model(seed), epoch))

    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        checkpoint.load_model(tmp_path)
    save("last", 2, 2)
    save("last", 10, 3)
    assert checkpoint.load_model(tmp_path).epoch == 10
    save("best", 4, 4)
    save("best", 5, 5)
    found = checkpoint.load_model(tmp_path)
    assert found.epoch == 5
    same(found.model.params, parameters(5))


def test_two_of_a_kind_are_kept_and_one_can_be_saved_again(tmp_path):
    for epoch, seed in ((1, 1), (2, 2), (3, 3), (3, 4)):
        checkpoint.save(tmp_path, "last", Checkpoint(model(seed), epoch))
    assert checkpoint.saved_epochs(tmp_path, "last") == [2, 3]
    assert checkpoint.saved_epochs(tmp_path, "best") == []
    same(checkpoint.load(tmp_path, "last", 3).model.params, parameters(4))
    # A kill may come before the oldest is deleted.
    last = tmp_path / "checkpoints" / "last"
    shutil.copytree(last / "3", last / "1")
    checkpoint.tidy(tmp_path)
    assert checkpoint.saved_epochs(tmp_path, "last") == [2, 3]


def test_later_epochs_can_be_forgotten(tmp_path):
    for slot in ("last", "best"):
        for epoch in (1, 2):
            checkpoint.save(tmp_path, slot, Checkpoint(model(), epoch))
    left = tmp_path / "checkpoints" / "best" / f".1.deleted-{0:032x}"
    left.mkdir()
    checkpoint.forget_after(tmp_path, 1)
    assert checkpoint.saved_epochs(tmp_path, "last") == [1]
    assert checkpoint.saved_epochs(tmp_path, "best") == [1]
    assert not left.exists()


@pytest.mark.parametrize("why", ["partial", "deleted"])
def test_what_a_kill_leaves_does_not_count_and_is_removed(saved, tmp_path, why):
    last = shutil.copytree(saved, tmp_path / "copy") / "checkpoints" / "last"
    left = last / f".4.{why}-{0:032x}"
    shutil.copytree(last / "3", left)
    assert checkpoint.saved_epochs(tmp_path / "copy", "last") == [3]
    assert checkpoint.load_model(tmp_path / "copy").epoch == 3
    checkpoint.save(tmp_path / "copy", "last", dataclasses.replace(FULL, epoch=5))
    assert sorted(path.name for path in last.iterdir()) == ["3", "5"]


def test_a_checkpoint_is_as_open_as_other_folders(saved, tmp_path):
    (tmp_path / "other").mkdir()
    wanted = (tmp_path / "other").stat().st_mode
    assert (saved / "checkpoints" / "last" / "3").stat().st_mode == wanted


def test_many_are_saved_as_if_one_by_one(tmp_path):
    folders = [tmp_path / f"run_{i}" for i in range(7)]
    saves: list[tuple[checkpoint.Slot, int]] = [
        ("best", 2),
        ("last", 4),
        ("last", 5),
        ("last", 6),
    ]
    checkpoint.save_many(
        (folder, slot, dataclasses.replace(FULL, model=model(seed), epoch=epoch))
        for seed, folder in enumerate(folders)
        for slot, epoch in saves
    )
    for seed, folder in enumerate(folders):
        assert checkpoint.usable_epochs(folder, "best") == [2]
        assert checkpoint.usable_epochs(folder, "last") == [5, 6]
        found = checkpoint.load(folder, "last", 6, optimizer=True)
        same(found.model.params, parameters(seed))
        same(found.optimizer, FULL.optimizer)


def test_one_that_fails_is_reported_and_the_others_are_saved(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    folders[1].write_text("a file where a folder should be made")
    with pytest.raises(OSError, match=f"could not be saved: .*{folders[1]}/"):
        checkpoint.save_many((folder, "last", FULL) for folder in folders)
    assert checkpoint.usable_epochs(folders[0], "last") == [3]
    assert checkpoint.usable_epochs(folders[2], "last") == [3]


def test_an_optimizer_that_was_not_saved_cannot_be_loaded(tmp_path):
    checkpoint.save(tmp_path, "best", Checkpoint(model(), 1))
    with pytest.raises(ValueError, match="best/1: expected the state of the optim"):
        checkpoint.load(tmp_path, "best", 1, optimizer=True)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 2)
    checkpoint.save(tmp_path, "last", Checkpoint(model(), 1))
    monkeypatch.undo()
    wanted = f"{tmp_path}.*: expected checkpoint format 1, found 2"
    with pytest.raises(ValueError, match=wanted):
        checkpoint.load_model(tmp_path)


@pytest.mark.parametrize(
    ("kind", "fact", "value"),
    [
        ("sentences", "model", "RN50"),
        ("views", "weights", "laion2b_s34b_b79k"),
        ("videos", "pooling", "mean"),
        ("images", "preprocessing", "center"),
        ("views", "feature_size", 512),
    ],
)
def test_features_of_another_model_are_refused(kind, fact, value):
    known = {"pooling": "first", "preprocessing": "squash"}
    trained, now = (
        {kind: dataclasses.asdict(f) for kind, f in small.facts(**known).items()}
        for _ in range(2)
    )
    now[kind][fact] = value
    trained_on = model(feature_facts=trained)
    with pytest.raises(ValueError) as raised:
        check_feature_facts(trained_on, now, "some/store")
    for word in ("some/store", kind, fact, repr(trained[kind][fact]), repr(value)):
        assert word in str(raised.value)
    assert check_feature_facts(trained_on, trained, "some/store")


def test_kinds_that_a_model_does_not_read_may_differ():
    trained, now = (
        {kind: dataclasses.asdict(f) for kind, f in small.facts().items()}
        for _ in range(2)
    )
    now["videos"]["model"] = "another"
    flat = model(config=small.FLAT, feature_facts=trained)
    assert check_feature_facts(flat, now, "store")


def test_a_missing_kind_is_refused():
    trained = {kind: dataclasses.asdict(f) for kind, f in small.facts().items()}
    now = {kind: facts for kind, facts in trained.items() if kind != "images"}
    with pytest.raises(ValueError, match="store: expected features of kind images"):
        check_feature_facts(model(feature_facts=trained), now, "store")


def test_a_model_that_knows_nothing_is_said_to():
    assert not check_feature_facts(model(feature_facts=None), {}, "store")
