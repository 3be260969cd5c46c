"""Disks that are full: one line says which, and which file; nothing else is lost."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.cli import frame
from hm3_jax.data.museum_jsonl import write_museum_files
from hm3_jax.data.raw_museum import RawMuseum, RawRoom
from hm3_jax.files.arrays import new_array, save_array
from hm3_jax.files.durable import write_whole
from hm3_jax.files.errors import full_disk, naming
from hm3_jax.files.lines import text_file
from hm3_jax.reporting.write import replaced
from tests.data.museum_sets import museums, write
from tests.disks import fill, mounted
from tests.retrieval.small_index import write_small_index


def write_list(path: Path) -> None:
    room = RawRoom(views=("a.png",), images=(), videos=())
    write_museum_files(
        path,
        [RawMuseum(f"{i}", "train", "t", "words " * 20, (room,)) for i in range(900)],
    )


def write_report(path: Path) -> None:
    with replaced(path, []) as partial, text_file(partial / "report.json") as file:
        file.write("x" * 100_000)


WRITERS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: write_whole(path, b"x" * 100_000),
    "array": lambda path: save_array(path, np.ones((100, 300))),
    "mapped array": lambda path: new_array(path, "float64", (100, 300)),
    "store": lambda path: write(path, museums(40)),
    "index": lambda path: write_small_index(path, 100),
    "list": write_list,
    "report": write_report,
}


@pytest.mark.parametrize("free", [0, 40_000])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(tmp_path, name, free):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=32m", "tmpfs", disk):
        path = disk / "made"
        fill(disk, free)
        with pytest.raises(OSError) as raised:
            WRITERS[name](path)
        error = raised.value
        assert error.errno == errno.ENOSPC
        assert Path(error.filename).is_relative_to(path)
        line = f"error: no space left on {disk}, writing {error.filename}"
        assert frame.outcome(error) == (1, line)
        if "array" in name:  # which is in a folder that is not whole yet
            path.unlink(missing_ok=True)
        assert [left.name for left in disk.iterdir()] == ["ballast"]
        (disk / "ballast").unlink()
        WRITERS[name](path)
        assert [left.name for left in disk.iterdir()] == ["made"]


def test_the_disk_is_the_one_behind_links_and_dots(tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    link.symlink_to(disk)
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk):
        for file in (link / "made", disk / ".." / "disk" / "made"):
            error = OSError(errno.ENOSPC, "full", str(file))
            assert full_disk(error) == f"no space left on {disk}, writing {file}"


def test_arrays_are_those_of_numpy(tmp_path):
    arrays = np.arange(6, dtype="<f2").reshape(2, 3), np.arange(5), np.ones((0, 2))
    for array in arrays:
        stream = io.BytesIO()
        np.save(stream, array)
        save_array(tmp_path / "a.npy", array)
        assert (tmp_path / "a.npy").read_bytes() == stream.getvalue()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_what_libraries_say_in_words(number, kind):
    with pytest.raises(OSError) as raised, naming(Path("a") / "b"):
        raise kind(f"writing d/1: {os.strerror(number)} [OS error]; and much more")
    assert (raised.value.errno, raised.value.filename) == (number, "a/b")


def test_what_names_a_file_keeps_it():
    for error in (
        OSError(errno.EIO, "Input/output error", "other"),
        FileNotFoundError("other: expected a file, found none"),
    ):
        with pytest.raises(OSError) as raised, naming(Path("a")):
            raise error
        assert "other" in str(raised.value) and "'a'" not in str(raised.value)


def test_of_a_copy_it_is_the_copy_that_is_written(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "/proc/a", None, "/dev/b")
    assert frame.outcome(error)[1].endswith(", writing /dev/b")


def test_a_quota_that_is_used_up(tmp_path):
    error = OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / "f"))
    code, line = frame.outcome(error)
    assert code == 1 and line.startswith("error: quota used up on /")
    assert line.endswith(f", writing {tmp_path / 'f'}")
