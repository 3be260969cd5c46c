"""Experiments: which strategies in which order, what is refused, what is written."""

import dataclasses
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.experiment import (
    Experiment,
    Listeners,
    run_experiments,
)
from hm3_jax.nn.strategy import TowersConfig
from hm3_jax.nn.strategy_choice import load_strategies
from hm3_jax.nn.strategy_json import strategy_text
from tests.learn import small


def write_strategy(folder, config: TowersConfig, name: str | None = None) -> str:
    path = folder / f"{name or config.file_stem}.json"
    path.write_text(strategy_text(config))
    return str(path)


def with_cell(config: TowersConfig, cell) -> TowersConfig:
    return dataclasses.replace(config, text=dataclasses.replace(config.text, cell=cell))


LARGE = dataclasses.replace(
    small.FLAT,
    name="rnn_meanPoolProc_video",
    text=dataclasses.replace(small.FLAT.text, hidden_size=7),
    museum=dataclasses.replace(
        small.FLAT.museum, kinds={"views": 7, "videos": 5}, size=7, out_size=7
    ),
)
WITH_VIDEO, WITH_IMAGES = (
    dataclasses.replace(
        small.CONVOLUTION,
        name=f"rnn_cnn1d_{suffix}",
        museum=dataclasses.replace(small.CONVOLUTION.museum, kinds=kinds),
    )
    for suffix, kinds in (
        ("video", {"views": 7, "videos": 5}),
        ("image_video", {"views": 7, "images": 6, "videos": 5}),
    )
)


# By size of the embedding, by room, with a CNN, with LSTM, images, videos.
PUBLISHED_ORDER = [
    small.FLAT,
    with_cell(small.FLAT, "lstm"),
    small.CONVOLUTION,
    WITH_VIDEO,
    WITH_IMAGES,
    with_cell(small.CONVOLUTION, "lstm"),
    small.BY_ROOM,
    LARGE,
]


def test_strategies_come_in_the_published_order(tmp_path):
    for config in reversed(PUBLISHED_ORDER):
        write_strategy(tmp_path, config)
    assert load_strategies([], str(tmp_path)) == PUBLISHED_ORDER


def test_what_systems_leave_beside_strategies_is_none(tmp_path):
    file = Path(write_strategy(tmp_path, small.FLAT))
    (tmp_path / f"._{file.name}").write_bytes(b"\x00\x05\x16\x07")
    assert load_strategies([], str(tmp_path)) == [small.FLAT]


def test_strategies_may_begin_with_a_byte_order_mark(tmp_path):
    file = Path(write_strategy(tmp_path, small.FLAT))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_strategies([str(file)], None) == [small.FLAT]


def test_files_and_a_folder_may_both_be_given(tmp_path):
    (tmp_path / "folder").mkdir()
    write_strategy(tmp_path / "folder", small.FLAT)
    files = [write_strategy(tmp_path, small.BY_ROOM)]
    found = load_strategies(files, str(tmp_path / "folder"))
    assert found == [small.FLAT, small.BY_ROOM]
    assert load_strategies(files, None) == [small.BY_ROOM]


def test_a_strategy_given_twice_is_refused(tmp_path):
    files = [write_strategy(tmp_path, small.FLAT, name) for name in ("first", "second")]
    wanted = "second.json: strategy rnn_meanPoolProc is given twice"
    with pytest.raises(ValueError, match=wanted):
        load_strategies(files, None)


def test_no_strategy_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--config_files or --config_files_dir"):
        load_strategies([], None)
    wanted = f"{tmp_path}: expected strategy files"
    with pytest.raises(ValueError, match=wanted):
        load_strategies([], str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        load_strategies([str(tmp_path / "nowhere.json")], None)


def test_experiment_json_has_the_published_form(store, finished, folder):
    written = json.loads((finished / "experiment.json").read_text())
    assert written["name"] == "experiment"
    assert written["settings"] == dataclasses.asdict(small.SETTINGS)
    assert len(written["uid"]) == 32
    assert {"description", "tags", "written"} < set(written)
    (of_run,) = written["runs"]
    assert of_run["base_name"] == small.BY_ROOM.file_stem
    assert of_run["n_tries"] == 2
    assert of_run["dataset_name"] == "small"
    assert of_run["dataset_kind"] == "real"
    assert of_run["features"] == store.feature_facts()
    values = {
        name: [small.outcome(folder, k)["metrics"][name] for k in (1, 2)]
        for name in small.outcome(folder, 1)["metrics"]
    }
    assert of_run["test_metrics_mean"] == pytest.approx(
        {name: sum(both) / 2 for name, both in values.items()}
    )
    # Of a sample: the tries stand for all tries there might be.
    assert of_run["test_metrics_std"] == pytest.approx(
        {name: abs(np.subtract(*both)) / 2**0.5 for name, both in values.items()}
    )


def test_one_try_has_no_deviation_and_a_resumed_experiment_keeps_its_uid(
    store, tmp_path
):
    folder = tmp_path / "run"
    small.train(store, folder, number_of_tries=1, epochs=1)
    first = json.loads((folder / "experiment.json").read_text())
    assert first["runs"][0]["test_metrics_std"] is None
    small.train(store, folder, number_of_tries=1, epochs=1, resume=True)
    again = json.loads((folder / "experiment.json").read_text())
    assert again.pop("written") >= first.pop("written")
    assert again.pop("checksum") and first.pop("checksum")
    assert again == first


def test_strategies_are_trained_one_after_the_other(store, finished, tmp_path):
    """And each as if it were alone."""
    heard = []
    experiment = Experiment(
        strategies=[small.FLAT, small.BY_ROOM],
        settings=small.SETTINGS,
        folder=tmp_path / "run",
        name="both",
        description="why",
        tags=["a", "b"],
    )
    listeners = Listeners(
        strategy=lambda config, runs: heard.append((config.file_stem, runs)),
        epoch=lambda report: heard.append(report.epoch),
        tested=lambda of, config, results: heard.append(
            (of.name, config.file_stem, [r.attempt for r in results])
        ),
    )
    assert run_experiments([experiment], store, listeners, Execution()) == []
    stems = [small.FLAT.file_stem, small.BY_ROOM.file_stem]
    assert heard == [
        event
        for stem in stems
        for event in ((stem, 2), 1, 2, 3, 4, 5, ("both", stem, [1, 2]))
    ]
    written = json.loads((tmp_path / "run" / "experiment.json").read_text())
    assert [of_run["base_name"] for of_run in written["runs"]] == stems
    assert (written["description"], written["tags"]) == ("why", ["a", "b"])
    by_room = small.BY_ROOM.file_stem
    assert small.results(tmp_path / "run" / by_room) == small.results(
        finished / by_room
    )


def with_themes(tmp_path, theme, **changes):
    """A store whose museum i has theme(i)."""
    museums = [
        dataclasses.replace(museum, theme=theme(i))
        for i, museum in enumerate(small.records())
    ]
    return open_store(small.write(tmp_path / "store", museums, **changes))


def refused(store, folder, wanted, *strategies, **changes):
    """Everything is found before anything is written."""
    with pytest.raises(ValueError, match=wanted):
        small.train(store, folder, *strategies, **changes)
    assert not folder.exists()


def test_a_strategy_that_the_store_does_not_serve_is_refused(store, tmp_path):
    text = dataclasses.replace(small.FLAT.text, in_size=512)
    large = dataclasses.replace(small.FLAT, text=text)
    wanted = "rnn_meanPoolProc expects sentences features of 512 floats"
    refused(store, tmp_path / "run", wanted, small.BY_ROOM, large)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_missing_split_is_refused(tmp_path, split):
    museums = [
        museum
        if museum.split != split
        else dataclasses.replace(museum, split="test" if split != "test" else "val")
        for museum in small.records()
    ]
    store = open_store(small.write(tmp_path / "store", museums))
    wanted = f"{store.path}: expected museums in split {split}, found none"
    refused(store, tmp_path / "run", wanted)


def test_a_store_that_is_written_to_while_it_trains_is_not_tested_on(tmp_path):
    store = open_store(small.write(tmp_path / "store"))
    file = store.path / "views.npy"
    os.utime(file, ns=(10**18, 10**18))
    store = open_store(store.path)

    def change(report):
        with file.open("r+b") as opened:
            opened.seek(200)
            opened.write(b"xyz")

    with pytest.raises(ValueError, match=f"{file}: written to while it was in use"):
        small.train(store, tmp_path / "run", epochs=1, listener=change)
    assert not list((tmp_path / "run").rglob("test_*"))


def test_a_masking_that_nothing_asks_for_is_refused(store, tmp_path):
    wanted = "cnn1d_masking channels has no effect .*: rnn_meanPoolProc, hier"
    strategies = (small.FLAT, small.BY_ROOM)
    refused(store, tmp_path / "run", wanted, *strategies, cnn1d_masking="channels")


def test_themes_that_training_never_sees_are_named_once(tmp_path):
    store = with_themes(
        tmp_path, lambda i: {0: "surreal", 3: "abstract"}.get(i, f"theme-{i % 2}")
    )
    with pytest.warns(UserWarning) as caught:
        folder = small.train(store, tmp_path / "run", epochs=1)
    (warning,) = caught
    message = str(warning.message)
    assert message.startswith(f"{store.path}: ")
    assert "the themes abstract, surreal," in message
    assert "use_categories_in_loss" in message
    assert "\n" not in message
    assert small.outcome(folder, 1)["epoch"] == 1


def test_many_themes_are_counted(tmp_path):
    store = with_themes(tmp_path, lambda i: f"{small.SPLITS[i % 3]}-{i // 9}")
    with pytest.warns(UserWarning, match="test-0, .*test-4 and 5 more,"):
        small.train(store, tmp_path / "run", epochs=1)


def test_nothing_is_said_where_every_museum_is_its_own_theme(tmp_path):
    store = with_themes(tmp_path, lambda i: f"theme-{i}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small.train(store, tmp_path / "run", epochs=1)
