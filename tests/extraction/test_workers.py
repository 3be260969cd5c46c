"""Decoding ahead: the same results from any number of processes."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.extraction.errors import FileSystemFailure
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.workers import Decoder, decoded, jobs_of, worker_count
from tests.conftest import REPOSITORY
from tests.extraction.museum_folder import write_picture, write_video

pytest.importorskip("PIL")
pytest.importorskip("av")

TRANSFORM = PictureTransform((32, 24), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))

# Reads ahead in a process that is then killed; says which its workers are.
READER = """
import sys, time
from multiprocessing import active_children
from pathlib import Path
from hm3_jax.extraction.workers import Decoder, decoded, jobs_of
from tests.extraction.test_workers import TRANSFORM

if __name__ == "__main__":
    jobs = jobs_of("pictures", 0, ["picture.png"] * 10_000)
    with decoded(jobs, Decoder(Path(sys.argv[1]), TRANSFORM, 1.0, 2), 2) as results:
        next(results)
        print(*(child.pid for child in active_children()), flush=True)
        time.sleep(60)
"""


@pytest.fixture
def decoder(tmp_path):
    return Decoder(tmp_path, TRANSFORM, 1.0, 2)


@pytest.fixture
def jobs(tmp_path):
    names = [f"{i}.png" for i in range(40)]
    for i, name in enumerate(names):
        write_picture(tmp_path / name, i, (30 + i, 50))
    (tmp_path / "5.png").write_text("no picture")
    (tmp_path / "17.png").unlink()
    for i in range(2):
        write_video(tmp_path / f"{i}.mp4", i, seconds=1 + 3 * i)
    (tmp_path / "empty.mp4").touch()
    return [
        *jobs_of("pictures", 100, names),
        *jobs_of("videos", 7, ["0.mp4", "empty.mp4", "1.mp4"]),
    ]


def test_pictures_are_decoded_and_bad_ones_named(decoder, jobs, tmp_path):
    with decoded(jobs, decoder, 0) as results:
        first, second, third, *videos = list(results)
    assert first.rows == tuple(int(i != 5) for i in range(16))
    assert first.values is not None
    assert first.values.shape == (15, 3, 32, 24)
    np.testing.assert_array_equal(
        first.values[5], TRANSFORM(open_picture(tmp_path / "6.png"))
    )
    assert set(first.failures) == {105} and set(second.failures) == {117}
    assert "expected a picture, found" in first.failures[105]
    assert third.failures == {}
    assert [video.rows for video in videos] == [(1,), (0,), (2,)]
    assert set(videos[1].failures) == {8} and videos[1].values is None


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same(decoder, jobs, workers):
    with (
        decoded(jobs, decoder, 0) as expected,
        decoded(jobs, decoder, workers) as results,
    ):
        for wanted, found in zip(expected, results, strict=True):
            assert (found.rows, found.failures) == (wanted.rows, wanted.failures)
            if wanted.values is None:
                assert found.values is None
            else:
                np.testing.assert_array_equal(found.values, wanted.values)


def test_no_jobs_take_no_workers(decoder):
    with decoded([], decoder, 2) as results:
        assert list(results) == []


def test_a_worker_that_dies_is_reported(decoder, tmp_path):
    write_picture(tmp_path / "picture.png", 0)
    jobs = jobs_of("pictures", 0, ["picture.png"] * 3000)
    with decoded(jobs, decoder, 1) as results:
        next(results)
        (worker,) = multiprocessing.active_children()
        worker.kill()
        with pytest.raises(RuntimeError, match=r"ended with exit code -9 near picture"):
            list(results)
    assert multiprocessing.active_children() == []


def test_a_failing_file_system_ends_the_run(tmp_path):
    def broken(_):
        raise OSError(5, "Input/output error")

    write_picture(tmp_path / "picture.png", 0)
    decoder = Decoder(tmp_path, broken, 1.0, 2)  # type: ignore[arg-type]
    with (
        decoded(jobs_of("pictures", 0, ["picture.png"]), decoder, 0) as results,
        pytest.raises(FileSystemFailure, match=r"picture\.png: .*Input/output error"),
    ):
        list(results)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    write_picture(tmp_path / "picture.png", 0)
    script = tmp_path / "reader.py"
    script.write_text(READER)
    reader = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert reader.stdout is not None
    with reader.stdout:
        workers = [int(pid) for pid in reader.stdout.readline().split()]
    reader.kill()
    reader.wait()
    assert len(workers) == 2
    end = time.monotonic() + 20
    while any(map(runs, workers)):
        assert time.monotonic() < end, "workers outlived their parent"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    # What has ended stays listed until somebody asks how.
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_little_work_takes_no_processes():
    assert worker_count(None, 50) == 0
    assert worker_count(None, 10_000) == min(len(os.sched_getaffinity(0)), 32)
    assert worker_count(5, 1) == 5
