"""The benchmark of extraction measures the same work on both sides."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import extraction_museums
from benchmarks.extraction_cases import CASES, Case

pytest.importorskip("open_clip")


@pytest.fixture
def small(monkeypatch):
    for name, value in (
        ("ROOMS", 2),
        ("VIEWS", 2),
        ("SENTENCES", 3),
        ("VIEW_SIZE", (64, 48)),
        ("PAINTING_SIZE", (50, 70)),
    ):
        monkeypatch.setattr(extraction_museums, name, value)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from tests.extraction.clips import QUICK, random_clip, save_folder

    return save_folder(tmp_path_factory.mktemp("clip"), QUICK, random_clip(QUICK))


@pytest.mark.parametrize(("hung_in", "distinct"), [(1, 4 * 4 + 16), (4, 4 * 4 + 4)])
def test_both_sides_do_all_the_work(small, clip, tmp_path, hung_in, distinct):
    museums = extraction_museums.write_museums(tmp_path / "m", 4, hung_in=hung_in)
    found = {
        name: run(Case(museums, clip, num_workers=0)) for name, run in CASES.items()
    }
    assert found["loop_texts"]["items"] == found["ours_texts"]["items"] == 12
    assert found["loop_pictures"]["items"] == found["ours_pictures"]["items"] == 32
    assert found["ours_pictures"]["encoded"] == distinct
    assert all(result["seconds"] > 0 for result in found.values())


@pytest.mark.thorough
def test_a_measurement_is_a_process(small, clip, tmp_path, repository: Path):
    museums = extraction_museums.write_museums(tmp_path / "m", 1)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.extraction", "--case=ours_texts"]
        + [f"--list={museums}", f"--clip={clip}", "--batch_size=2"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"items": 3, "encoded": 3' in done.stdout
