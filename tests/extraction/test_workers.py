"""Decoding ahead: the same results from any number of processes."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.extraction.decoding import Decoder, jobs_of
from hm3_jax.extraction.errors import FileSystemFailure
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.workers import decoded, worker_count
from tests.conftest import REPOSITORY
from tests.extraction.museum_folder import write_picture, write_video

pytest.importorskip("PIL")
pytest.importorskip("av")

TRANSFORM = PictureTransform((32, 24), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


class Trap:
    """The transform, but for pictures of one grey, on which it does something else."""

    def __init__(self, grey, do):
        self.grey, self.do = grey, do

    def __call__(self, picture):
        if picture.getpixel((0, 0)) == (self.grey,) * 3:
            self.do()
        return TRANSFORM(picture)


def hang():
    time.sleep(3600)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


# Reads ahead in a process that is then killed; says which its workers are.
READER = """
import sys, time
from multiprocessing import active_children
from pathlib import Path
from hm3_jax.extraction.decoding import Decoder, jobs_of
from hm3_jax.extraction.workers import decoded
from tests.extraction.test_workers import TRANSFORM

if __name__ == "__main__":
    jobs = jobs_of("pictures", range(10_000), ["picture.png"] * 10_000)
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
        *jobs_of("pictures", range(40), names),
        *jobs_of("videos", range(3), ["0.mp4", "empty.mp4", "1.mp4"]),
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
    assert set(first.failures) == {5} and set(second.failures) == {17}
    assert "expected a picture, found" in first.failures[5]
    assert third.failures == {}
    assert [video.rows for video in videos] == [(1,), (0,), (2,)]
    assert set(videos[1].failures) == {1} and videos[1].values is None


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


@pytest.mark.parametrize("within", ["between messages", "within a message"])
def test_a_worker_that_dies_is_reported(decoder, tmp_path, monkeypatch, within):
    write_picture(tmp_path / "picture.png", 0)
    jobs = jobs_of("pictures", range(3000), ["picture.png"] * 3000)
    with decoded(jobs, decoder, 1) as results:
        next(results)
        (worker,) = multiprocessing.active_children()
        worker.kill()
        if within == "within a message":

            def cut_short(pipe):
                raise OSError("got end of file during message")

            monkeypatch.setattr(Connection, "recv", cut_short)
        with pytest.raises(RuntimeError, match=r"ended with exit code -9 near picture"):
            list(results)
    assert multiprocessing.active_children() == []


def test_a_failing_file_system_ends_the_run(tmp_path):
    def broken(_):
        raise OSError(5, "Input/output error")

    write_picture(tmp_path / "picture.png", 0)
    decoder = Decoder(tmp_path, broken, 1.0, 2)  # type: ignore[arg-type]
    with (
        decoded(jobs_of("pictures", [0], ["picture.png"]), decoder, 0) as results,
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
    end = time.monotonic() + 120
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


def test_little_work_takes_one_process():
    assert worker_count(None, 50) == 1
    assert worker_count(None, 10_000) == min(len(os.sched_getaffinity(0)), 32)
    assert worker_count(5, 1) == 5


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (hang, "its decoder was ended after 3 s"),
        (crash, "its decoder crashed (exit code -11)"),
    ],
)
def test_a_decoder_that_hangs_or_crashes_costs_its_file_only(tmp_path, do, reason):
    image = pytest.importorskip("PIL.Image")
    names = [f"{i}.png" for i in range(20)]
    for i, name in enumerate(names):
        image.new("RGB", (40, 40), (i, i, i)).save(tmp_path / name)
    decoder = Decoder(tmp_path, Trap(17, do), 1.0, 2, seconds_per_file=3.0)
    with decoded(jobs_of("pictures", range(20), names), decoder, 1) as results:
        first, second = results
    assert (sum(first.rows), first.failures) == (16, {})
    assert second.rows == (1, 0, 1, 1)
    assert list(second.failures) == [17]
    assert second.failures[17].startswith(reason)
    assert multiprocessing.active_children() == []


@pytest.fixture
def shared(tmp_path):
    """A folder of two pictures, and the same ones in a folder that takes its place."""
    for name in ("a", "b"):
        write_picture(tmp_path / "share" / "room" / f"{name}.png", 0)
    shutil.copytree(tmp_path / "share", tmp_path / "other")
    return tmp_path / "share"


@pytest.mark.parametrize("what", ["gone", "empty", "room"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_share_that_goes_ends_the_run(shared, tmp_path, what, workers):
    decoder = Decoder(shared, TRANSFORM, 1.0, 2)
    files = ["room/a.png", "room/b.png"]
    list(map(decoder, jobs_of("pictures", range(2), files)))
    # As when it is unmounted: where it was there is nothing, an empty folder, or one in
    # which there is less.
    place = shared / "room" if what == "room" else shared
    place.rename(tmp_path / "elsewhere")
    if what != "gone":
        place.mkdir()
    with (
        decoded(jobs_of("pictures", range(2), files), decoder, workers) as results,
        pytest.raises(
            FileSystemFailure, match="gone, or not the same folder as before"
        ),
    ):
        list(results)


def test_a_file_that_goes_is_missing(shared):
    decoder = Decoder(shared, TRANSFORM, 1.0, 2)
    (shared / "room" / "b.png").unlink()
    files = ["room/a.png", "room/b.png", "never/c.png"]
    (result,) = map(decoder, jobs_of("pictures", range(3), files))
    assert result.rows == (1, 0, 0)
    assert set(result.failures.values()) == {"expected a picture, found no such file"}
