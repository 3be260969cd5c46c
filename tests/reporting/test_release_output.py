"""Reading what tries made of the test museums, sound and damaged, in both forms."""

import json

import numpy as np
import pytest

from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.read_tests import Wanted, read_all
from hm3_jax.reporting.release_output import read_tested
from tests.reporting.run_folders import THEMES, embeddings, write, write_run


def one_run(folder):
    (run,) = find_runs([folder], pytest.fail)
    return run


def test_a_test_is_read(tmp_path):
    write_run(tmp_path / "STL" / "rnn_rnn")
    tested = read_tested(one_run(tmp_path), both_by_theme=False, embeddings=True)
    assert tested.ids[:2] == ("museum_0", "museum_1") and len(tested.ids) == 12
    assert tested.theme_names == THEMES
    assert tested.themes.tolist() == [0, 1, 2] * 4
    assert tested.scores["t2s_mAP"].shape == (2, 12)
    assert tested.embedded is not None and tested.embedded.number == 1
    described, _, _ = embeddings(1)
    lengths = np.linalg.norm(described, axis=1, keepdims=True)
    np.testing.assert_allclose(
        tested.embedded.ranking.queries, described / lengths, rtol=1e-5
    )


def without_arrays(folder):
    """The JSON alone, as earlier versions wrote it."""
    (folder / "test_output.npz").unlink()
    return folder / "test_output.json"


def test_both_forms_hold_the_same(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    run = one_run(tmp_path)
    of_arrays = read_tested(run, both_by_theme=True, embeddings=True)
    without_arrays(folder)
    of_json = read_tested(run, both_by_theme=True, embeddings=True)
    assert of_arrays.ids == of_json.ids
    assert of_arrays.theme_names == of_json.theme_names
    assert of_arrays.scores.keys() == of_json.scores.keys()
    for key, values in of_arrays.scores.items():
        np.testing.assert_array_equal(values, of_json.scores[key])
    assert of_arrays.embedded is not None and of_json.embedded is not None
    np.testing.assert_array_equal(
        of_arrays.embedded.ranking.queries, of_json.embedded.ranking.queries
    )


def test_arrays_of_another_test_are_refused(tmp_path):
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    path = folder / "test_output.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **content | {"try_2_museums": content["try_1_museums"][::-1]})
    with pytest.raises(ValueError, match="of try 2, as its test_metrics.json has it"):
        read_tested(one_run(tmp_path), both_by_theme=False, embeddings=False)
    del content["try_2_museums"]
    np.savez(path, **content)
    with pytest.raises(ValueError, match="test_output.npz: expected .*try_2_museums"):
        read_tested(one_run(tmp_path), both_by_theme=False, embeddings=False)


def drop(entries, key):
    for entry in entries:
        entry.pop(key)


def not_a_number(entries):
    entries[0]["output_pov_test"][3][1] = 1e300


def unknown_theme(entries):
    for entry in entries:
        entry["output_categories"][5] = 3


def shorter_row(entries):
    entries[0]["output_pov_test"][3].pop()


def other_size(entries):
    for row in entries[1]["output_pov_test"]:
        row.pop()


def other_embeddings(entries):
    entries[1]["output_pov_test"].reverse()


DAMAGE = {
    "try gone": (lambda e: e.pop(), r"expected tries \[1, 2\], found none of \[2\]"),
    "no ids": (lambda e: drop(e, "ids_list"), "expected ids_list and output_categ"),
    "themes too few": (
        lambda e: e[0]["output_categories"].pop(),
        "a theme for each of 12 different museums, found 11 for 12",
    ),
    "twice": (
        lambda e: e[0]["ids_list"].__setitem__(0, "museum_1"),
        "found 12 for 11",
    ),
    "other museums": (
        lambda e: e[1]["ids_list"].__setitem__(0, "elsewhere"),
        "expected the same museums in all tries, found others in try 2",
    ),
    "no such theme": (
        unknown_theme,
        "numbers of the 3 themes that experiment.json lists, found 3",
    ),
    "infinite": (not_a_number, "output_pov_test: expected finite embeddings of 12"),
    "ragged": (shorter_row, "output_pov_test: expected rows of equal length"),
    "sizes": (other_size, r"of one size, found \(12, 8\) and \(12, 7\)"),
    "no embeddings": (lambda e: drop(e, "output_pov_test"), "expected finite embedd"),
    "of another test": (other_embeddings, "of try 2, as its test_metrics.json has it"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path, name):
    damage, message = DAMAGE[name]
    path = without_arrays(write_run(tmp_path / "STL" / "rnn_rnn"))
    entries = json.loads(path.read_text())
    damage(entries)
    write(path, entries)
    with pytest.raises(ValueError, match=message) as raised:
        read_tested(one_run(tmp_path), both_by_theme=False, embeddings=False)
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["", "[{", '{"n_try": 1}', "[1]"])
def test_another_file_is_refused(tmp_path, text):
    without_arrays(write_run(tmp_path / "STL" / "rnn_rnn")).write_text(text)
    with pytest.raises(ValueError, match="test_output.json: expected"):
        read_tested(one_run(tmp_path), both_by_theme=False, embeddings=False)


def test_no_file(tmp_path):
    without_arrays(write_run(tmp_path / "STL" / "rnn_rnn")).unlink()
    with pytest.raises(FileNotFoundError, match="expected the tries' tests"):
        read_tested(one_run(tmp_path), both_by_theme=False, embeddings=False)


@pytest.mark.parametrize(
    ("labels", "wanted"), [([2, 10], ("10", "2")), (["b", "a"], ("a", "b"))]
)
def test_without_names_beside_it_what_it_has_is_shown(tmp_path, labels, wanted):
    """What a run that was killed before experiment.json has, and earlier versions."""
    folder = write_run(tmp_path / "STL" / "rnn_rnn")
    (folder.parent / "experiment.json").unlink()
    path = without_arrays(folder)
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["output_categories"] = [labels[t % 2] for t in entry["output_categories"]]
    write(path, entries)
    # The metrics by theme are others than those recorded, by which they are checked.
    for number in (1, 2):
        tested = folder / f"try_{number}" / "test_metrics.json"
        content = json.loads(tested.read_text())
        del content["metrics"]["t2s_mAP_by_class"]
        write(tested, content)
    (run,) = find_runs([tmp_path], lambda line: None)
    tested = read_tested(run, both_by_theme=False, embeddings=False)
    assert tested.theme_names == wanted


def test_several_processes_read_the_same(tmp_path):
    for name in ("A", "B", "C"):
        write_run(tmp_path / name / "rnn_rnn")
    runs = find_runs([tmp_path], pytest.fail)
    (runs[1].folder / "test_output.npz").write_text("[")
    wanted = [Wanted(run, True, run is runs[0]) for run in runs]
    said: list[str] = []
    alone = read_all(wanted, lambda line: None)
    together = read_all(wanted, said.append, much=0)
    assert list(alone) == list(together) == [runs[0], runs[2]]
    for run in alone:
        for key, scores in alone[run].scores.items():
            assert np.array_equal(scores, together[run].scores[key])
    assert together[runs[0]].embedded is not None
    assert together[runs[2]].embedded is None
    assert len(said) == 1 and said[0].endswith("; no significance and no figures of it")
