"""What comes with the package is found by name, from any folder."""

from pathlib import Path

import pytest

from hm3_jax.files.shipped import found, shipped_folder, shipped_names
from hm3_jax.nn.strategy_choice import load_strategies


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_files_of_the_repository_are_named(repository):
    assert shipped_folder("strategies") == repository / "configs/strategies"
    named = {
        repository / "configs/experiments" / f"{name}.cfg"
        for name in shipped_names("experiments")
    }
    assert named == set((repository / "configs/experiments").glob("*.cfg"))
    assert "hierart/rnn_rnn" in shipped_names("strategies")


@pytest.mark.parametrize(
    "name", ["stl", "stl.cfg", "configs/experiments/stl.cfg", "configs/experiments/stl"]
)
def test_flag_files_by_name(repository, name):
    assert found(name, "experiments") == repository / "configs/experiments/stl.cfg"


@pytest.mark.parametrize(
    "name",
    [
        "pov_only/rnn_cnn1d",
        "pov_only/rnn_cnn1d.json",
        "configs/strategies/pov_only/rnn_cnn1d.json",
    ],
)
def test_strategies_by_name(repository, name):
    expected = repository / "configs/strategies/pov_only/rnn_cnn1d.json"
    assert found(name, "strategies") == expected


def test_a_folder_may_be_left_out_where_it_is_clear(repository):
    folder = repository / "configs/strategies"
    assert found("rnn_rnn", "strategies") == folder / "hierart/rnn_rnn.json"
    assert found("late_interaction/", "strategies") == folder / "late_interaction"
    wanted = "rnn_cnn1d: expected one of hierart/rnn_cnn1d, pov_only/rnn_cnn1d"
    with pytest.raises(ValueError, match=f"^{wanted}$"):
        found("rnn_cnn1d", "strategies")


def test_what_is_there_comes_first(tmp_path):
    (tmp_path / "stl").write_text("")
    assert found("stl", "experiments") == Path("stl")
    (tmp_path / "pov_only").mkdir()
    assert found("pov_only", "strategies") == Path("pov_only")


@pytest.mark.parametrize("name", ["nothing", "../experiments/stl", "/stl", ""])
def test_others_stay_as_they_are(name):
    assert found(name, "strategies") == Path(name)


def test_strategies_load_by_name():
    (one,) = load_strategies(["late_interaction/late_interaction_video"])
    assert one.file_stem == "late_interaction_video"
    assert len(load_strategies([], "configs/strategies/hierart")) == 6
    with pytest.raises(ValueError, match="hierarts: expected strategy files .*neither"):
        load_strategies([], "hierarts")


def test_an_unknown_strategy_is_refused_with_similar_names():
    wanted = (
        r"rnn_cnn1d_vidio: expected a strategy file, .* \(such as .*rnn_cnn1d_video"
    )
    with pytest.raises(FileNotFoundError, match=wanted):
        load_strategies(["rnn_cnn1d_vidio"])
