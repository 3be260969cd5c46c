"""Going on with a run: to the byte as if it had never stopped, or refused."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution
from tests.learn import small

EVERY_EPOCH = Execution(save_every_seconds=0)


def same(found: Path, wanted: Path) -> None:
    assert small.results(found) == small.results(wanted)
    for attempt in (1, 2):
        models = [
            checkpoint.load_model(folder / f"try_{attempt}").model
            for folder in (found, wanted)
        ]
        jax.tree.map(np.testing.assert_array_equal, *[m.params for m in models])


def interrupt(store: FeatureStore, folder: Path, epoch: int, **how: Any) -> Path:
    """Trains until the end of an epoch, before it is saved."""
    with pytest.raises(KeyboardInterrupt):
        small.train(store, folder, listener=small.interrupt_after(epoch), **how)
    return folder / small.BY_ROOM.file_stem


# The best epoch of the first try is 2, of the second 3.
@pytest.mark.parametrize("epoch", [3, 4])
def test_an_interruption_changes_nothing(store, folder, tmp_path, epoch):
    found = interrupt(store, tmp_path / "run", epoch, execution=EVERY_EPOCH)
    assert len(small.log(found, 1)) == epoch
    saved = checkpoint.saved_epochs(found / "try_1", "last")
    assert saved == [epoch - 2, epoch - 1]
    heard = []
    small.train(store, tmp_path / "run", resume=True, listener=heard.append)
    assert [report.epoch for report in heard] == list(range(epoch, 6))
    same(found, folder)


def test_nor_does_one_before_anything_was_saved(store, folder, tmp_path):
    found = interrupt(store, tmp_path / "run", epoch=2)
    assert checkpoint.saved_epochs(found / "try_1", "last") == []
    small.train(store, tmp_path / "run", resume=True)
    same(found, folder)


@pytest.mark.thorough
def test_nor_does_one_where_descriptions_are_partial(store, tmp_path):
    """Each epoch draws others; val is scored on whole ones."""
    how: dict[str, Any] = {"epochs": 3, "partial_descriptions": 0.7}
    wanted = small.train(store, tmp_path / "wanted", **how)
    found = interrupt(store, tmp_path / "run", 2, execution=EVERY_EPOCH, **how)
    small.train(store, tmp_path / "run", resume=True, **how)
    same(found, wanted)
    saved = small.outcome(found, 1)["epoch"]
    evaluation = small.evaluated(found / "try_1", store, "val")
    val = small.log(found, 1)[saved - 1]["val"]
    assert evaluation.tested.metrics == pytest.approx(val, rel=1e-6)


def test_nor_does_one_between_the_saves_of_two_tries(
    store, folder, tmp_path, monkeypatch
):
    save = checkpoint.save

    def killed(to, slot, what):
        if (to.name, slot, what.epoch) == ("try_2", "last", 3):
            raise KeyboardInterrupt
        save(to, slot, what)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", killed)
        small.train(store, tmp_path / "run", execution=EVERY_EPOCH)
    found = tmp_path / "run" / small.BY_ROOM.file_stem
    assert checkpoint.saved_epochs(found / "try_1", "last") == [2, 3]
    assert checkpoint.saved_epochs(found / "try_2", "last") == [1, 2]
    # The epoch that only one try has saved is not kept in wait of the other.
    interrupt(store, tmp_path / "run", epoch=3, resume=True, execution=EVERY_EPOCH)
    assert checkpoint.saved_epochs(found / "try_1", "last") == [2]
    small.train(store, tmp_path / "run", resume=True)
    same(found, folder)


def test_a_finished_run_is_only_tested_again(store, folder, copy):
    heard = []
    small.train(store, copy, resume=True, listener=heard.append)
    assert heard == []
    same(copy / small.BY_ROOM.file_stem, folder)


def test_there_may_be_nothing_to_go_on_with(store, folder, tmp_path):
    same(small.train(store, tmp_path / "run", resume=True), folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.02),
        ("epochs", 6),
        ("seed", 8),
        ("number_of_tries", 3),
        ("number_of_tries", 1),
        ("loss_margin", 0.3),
        ("partial_descriptions", 0.5),
        ("best_strategy", "s2t-r1"),
    ],
)
def test_other_settings_are_refused(store, copy, name, value):
    before = small.contents(copy)
    with pytest.raises(ValueError) as raised:
        small.train(store, copy, resume=True, **{name: value})
    was = getattr(small.SETTINGS, name)
    assert f"the run there has {name} {was!r}, asked is {value!r}" in str(raised.value)
    assert small.contents(copy) == before


def test_another_strategy_of_that_name_is_refused(store, copy):
    before = small.contents(copy)
    text = dataclasses.replace(small.BY_ROOM.text, bidirectional=False)
    other = dataclasses.replace(small.BY_ROOM, text=text)
    with pytest.raises(ValueError, match="desc_model_is_bidirectional True, .* False"):
        small.train(store, copy, other, resume=True)
    assert small.contents(copy) == before


def test_other_features_are_refused(copy, tmp_path):
    facts = small.facts()
    facts["views"] = dataclasses.replace(facts["views"], weights="laion2b")
    other = open_store(small.write(tmp_path / "store", facts=facts))
    before = small.contents(copy)
    with pytest.raises(ValueError, match="views with weights 'openai', found 'la"):
        small.train(other, copy, resume=True)
    assert small.contents(copy) == before


def test_another_data_set_is_refused(copy, tmp_path):
    other = open_store(small.write(tmp_path / "store", dataset_name="large"))
    with pytest.raises(ValueError, match="dataset_name 'small', asked is 'large'"):
        small.train(other, copy, resume=True)


def test_without_it_what_is_there_is_left_alone(store, copy):
    before = small.contents(copy)
    with pytest.raises(FileExistsError, match=f"^{copy}: .*--resume"):
        small.train(store, copy)
    assert small.contents(copy) == before


def test_other_contents_of_the_same_features_are_refused(copy, tmp_path):
    museums = small.records()
    museums[5].sentences[0, 0] += 1
    other = open_store(small.write(tmp_path / "store", museums))
    before = small.contents(copy)
    wanted = "features with checksum .*, those given have .*: same data set, other"
    with pytest.raises(ValueError, match=wanted):
        small.train(other, copy, resume=True)
    assert small.contents(copy) == before


def change_record(folder: Path, **changes: Any) -> None:
    """Changes `run.json` of every try of a strategy."""
    for path in folder.glob("try_*/run.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_another_version_of_jax_is_warned_of(store, folder, copy):
    change_record(copy / folder.name, jax_version="0.0.1")
    with pytest.warns(UserWarning) as caught:
        small.train(store, copy, resume=True)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    for attempt, message in enumerate(messages, start=1):
        assert message.startswith(f"{copy / folder.name / f'try_{attempt}'}: ")
        assert f"with JAX 0.0.1 before, now {jax.__version__}: the last bits" in message
    assert small.outcome(copy / folder.name, 1) == small.outcome(folder, 1)


def test_so_are_other_companions(store, folder, copy):
    with pytest.warns(UserWarning) as caught:
        small.train(store, copy, resume=True, execution=Execution(runs_at_once=1))
    for warning, before in zip(caught, ("., ../try_2", "../try_1, ."), strict=True):
        wanted = f"together with 2 runs ({before}) before, now 1 runs (.): the last"
        assert wanted in str(warning.message)


def test_a_record_that_is_none_is_refused(store, folder, copy):
    path = copy / folder.name / "try_2" / "run.json"
    path.write_text("{}")
    with pytest.raises(
        ValueError, match=f"{path}: expected the record of a run, found"
    ):
        small.train(store, copy, resume=True)


def test_an_experiment_may_be_moved(store, folder, copy):
    """Also one that is not finished: its runs go on together."""
    for attempt in (1, 2):
        checkpoint.forget_after(copy / folder.name / f"try_{attempt}", 0)
    heard = []
    small.train(store, copy, resume=True, listener=heard.append)
    assert [len(report.runs) for report in heard] == [2] * 5
    same(copy / folder.name, folder)


def test_what_a_kill_left_of_runs_that_have_ended_is_removed(store, folder, copy):
    last = copy / folder.name / "try_1" / "checkpoints" / "last"
    newest = max(last.iterdir(), key=lambda path: int(path.name))
    for name in (f".1.deleted-{0:016x}", f".9.partial-{0:016x}"):
        shutil.copytree(newest, last / name)
    before = small.results(folder)
    small.train(store, copy, resume=True)
    kept = [path.name for path in (folder / "try_1/checkpoints/last").iterdir()]
    assert sorted(path.name for path in last.iterdir()) == sorted(kept)
    assert small.results(copy / folder.name) == before


def test_checkpoints_without_the_record_of_their_run_are_refused(store, copy):
    (copy / small.BY_ROOM.file_stem / "try_1" / "run.json").unlink()
    with pytest.raises(ValueError, match="try_1: expected the run's record"):
        small.train(store, copy, resume=True)


def test_beginning_again_is_said(store, folder, tmp_path):
    found = interrupt(store, tmp_path / "run", epoch=3, execution=EVERY_EPOCH)
    assert checkpoint.saved_epochs(found / "try_2", "last") == [1, 2]
    shutil.rmtree(found / "try_1" / "checkpoints")
    with pytest.warns(UserWarning, match="try_1: starts again"):
        small.train(store, tmp_path / "run", resume=True)
    same(found, folder)
