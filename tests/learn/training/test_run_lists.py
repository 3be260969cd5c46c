"""What a run wrote is what is reported of it; what was edited is named."""

import json
import re
import shutil
from pathlib import Path

import pytest

from hm3_jax.files.file_list import FILE_LIST, listed_damage
from hm3_jax.learn.saved.run_folder import MetricsLog
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.release_output import read_tested
from tests.learn import small

STEM = small.BY_ROOM.file_stem


def change_a_digit(path: Path, after: str) -> None:
    """Changes the first digit after some text."""
    text = path.read_text()
    found = re.compile(re.escape(after) + r"\D*").match(text, text.index(after))
    assert found is not None
    digit = "1" if text[found.end()] != "1" else "2"
    path.write_text(text[: found.end()] + digit + text[found.end() + 1 :])


def test_a_finished_run_is_listed_and_sound(finished, folder):
    listed = {
        where: (where / FILE_LIST).read_text()
        for where in (folder, folder / "try_1", folder / "try_2")
    }
    assert all(listed_damage(where) is None for where in listed)
    for name in ("run.json", "metrics.jsonl", "test_metrics.json", "by_length.json"):
        assert f'"{name}"' in listed[folder / "try_2"]
    assert '"test_output.npz"' in listed[folder]
    (run,) = find_runs([finished], pytest.fail)
    read_tested(run, both_by_theme=False, embeddings=False)


@pytest.mark.parametrize(
    ("name", "after", "kept"),
    [
        ("try_1/test_metrics.json", '"t2s_mAP": ', [2]),
        ("try_1/run.json", '"jax_version": ', [2]),
        ("try_1/run.json", '"loss_margin": ', [2]),
        ("try_1/metrics.jsonl", '"train_loss": ', [1, 2]),
        ("try_1/by_length.json", '"t2s_mAP": ', [1, 2]),
        ("../experiment.json", '"themes": ', [1, 2]),
    ],
)
def test_what_was_edited_is_named_and_the_rest_reported(copy, name, after, kept):
    path = (copy / STEM / name).resolve()
    if after == '"themes": ':
        path.write_text(path.read_text().replace('"real"', '"synthetic"'))
    else:
        change_a_digit(path, after)
    said = []
    (run,) = find_runs([copy], said.append)
    assert [t.number for t in run.tries] == kept
    about = [line for line in said if str(path) in line]
    assert len(about) == 1 and "damaged" in about[0], said
    assert (run.data.kind == "unknown") == (path.name == "experiment.json")


@pytest.mark.parametrize("name", ["test_output.npz", "test_output.json"])
def test_an_edited_test_is_not_compared(copy, name):
    path = copy / STEM / name
    if path.suffix == ".json":
        path.with_suffix(".npz").unlink()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (run,) = find_runs([copy], pytest.fail)
    with pytest.raises(ValueError, match=f"{path}: damaged: expected"):
        read_tested(run, both_by_theme=False, embeddings=False)


def test_a_list_of_another_try_is_named(copy):
    shutil.copy(copy / STEM / "try_2" / FILE_LIST, copy / STEM / "try_1" / FILE_LIST)
    said = []
    (run,) = find_runs([copy], said.append)
    assert [t.number for t in run.tries] == [2]
    assert "try_1/run.json: damaged" in said[0]


def test_a_list_that_was_removed_is_missed(copy):
    (copy / STEM / "try_1" / FILE_LIST).unlink()
    said = []
    (run,) = find_runs([copy], said.append)
    assert [t.number for t in run.tries] == [2]
    assert f"{copy / STEM / 'try_1' / FILE_LIST}: damaged: no such file" in said[0]


def test_without_lists_the_mean_of_the_experiment_is_compared(copy):
    for where in (copy / STEM, copy / STEM / "try_1", copy / STEM / "try_2"):
        (where / FILE_LIST).unlink()
    find_runs([copy], pytest.fail)
    path = copy / STEM / "try_1" / "test_metrics.json"
    content = json.loads(path.read_text())
    content["metrics"]["t2s_R@1"] += 0.01
    path.write_text(json.dumps(content))
    said = []
    assert find_runs([copy], said.append) == []
    assert said[-1].startswith(f"{copy / STEM}: expected a mean t2s_R@1 of ")


def test_testing_again_makes_good_what_was_edited(store, folder, copy):
    change_a_digit(copy / STEM / "try_1" / "test_metrics.json", '"t2s_mAP": ')
    small.train(store, copy, resume=True)
    assert small.contents(copy / STEM) == small.contents(folder)
    find_runs([copy], pytest.fail)


def test_an_edited_experiment_is_not_gone_on_with(store, copy):
    change_a_digit(copy / "experiment.json", '"seed": ')
    with pytest.raises(ValueError, match="experiment.json: damaged or edited"):
        small.train(store, copy, resume=True)


def test_a_run_that_goes_on_has_no_list_of_what_was_before(copy):
    folder = copy / STEM / "try_1"
    log = MetricsLog(folder, 5)
    assert (folder / FILE_LIST).exists()
    log.write({"epoch": 6})
    assert not (folder / FILE_LIST).exists()
    find_runs([copy], pytest.fail)
    # Nor has one that goes back.
    MetricsLog(copy / STEM / "try_2", 3)
    assert not (copy / STEM / "try_2" / FILE_LIST).exists()
    assert not (copy / STEM / FILE_LIST).exists()
