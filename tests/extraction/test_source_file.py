"""Errors of file systems are told from damage, whatever decoders make of them."""

import contextlib
import errno
import io
import os
import pickle
import shutil
from pathlib import Path

import pytest

from hm3_jax.extraction import source_file as module
from hm3_jax.extraction.errors import (
    FileSystemFailure,
    MissingInput,
    UnreadableInput,
)
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.source_file import source_file
from tests.extraction.clips_av import sample_frames
from tests.extraction.museum_folder import write_picture, write_video

pytest.importorskip("PIL")
pytest.importorskip("av")

KINDS = {
    "a.png": open_picture,
    "a.tif": open_picture,
    "a.jpg": open_picture,
    "a.jp2": open_picture,
    "a.webp": open_picture,
    "a.avif": open_picture,
    "a.mp4": sample_frames,
}


def write(path: Path) -> Path:
    (write_video if path.suffix == ".mp4" else write_picture)(path, 0)
    return path


# The kernel itself: it has no page at the start of a process's memory.
@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="needs a file that gives EIO: Linux"
)
@pytest.mark.parametrize("read", [open_picture, sample_frames])
def test_an_error_of_the_kernel_is_none_of_the_file(tmp_path, read):
    (tmp_path / "a").symlink_to("/proc/self/mem")
    with pytest.raises(FileSystemFailure, match="a: Input/output error") as info:
        read(tmp_path / "a")
    again = pickle.loads(pickle.dumps(info.value))
    assert (str(again), again.path) == (str(info.value), tmp_path / "a")


class Failing(io.FileIO):
    """A file whose system hands over little at a time, and once fails."""

    reads = 0
    fails_at = 0
    number = errno.EIO

    def readinto(self, buffer, /):
        Failing.reads += 1
        if Failing.reads == Failing.fails_at:
            raise OSError(Failing.number, os.strerror(Failing.number))
        return super().readinto(memoryview(buffer)[:200])

    def readall(self):
        piece = bytearray(200)
        return b"".join(iter(lambda: bytes(piece[: self.readinto(piece)]), b""))


@pytest.fixture
def failing():
    """The class that counts and fails, in the place of the system's own files."""
    before = module._Remembering.__bases__
    module._Remembering.__bases__ = (Failing,)
    yield Failing
    module._Remembering.__bases__ = before
    Failing.reads, Failing.fails_at, Failing.number = 0, 0, errno.EIO


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("name", KINDS)
def test_an_error_anywhere_in_a_file_is_the_file_systems(
    tmp_path, failing, name, number
):
    path = write(tmp_path / name)
    KINDS[name](path)
    whole = failing.reads
    assert whole > 1
    failing.number = number
    for place in {1, 2, whole // 2, whole - 1}:
        failing.reads, failing.fails_at = 0, place
        with pytest.raises(FileSystemFailure, match=os.strerror(number)):
            KINDS[name](path)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.ESTALE, errno.ENOTCONN, errno.EIO]
)
@pytest.mark.parametrize("read", [open_picture, sample_frames])
def test_what_cannot_be_looked_at_is_not_missing(tmp_path, monkeypatch, read, number):
    write_picture(tmp_path / "a.png", 0)

    def refuse(path, *args, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(FileSystemFailure, match=os.strerror(number)):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["none.png", "a.png/b.png", "folder", "loop", "pipe"])
def test_what_is_no_file_is_missing(tmp_path, name):
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for read in (open_picture, sample_frames):
        with pytest.raises(MissingInput, match="found no such file"):
            read(tmp_path / name)


def test_an_error_that_a_decoder_swallows_is_raised(tmp_path, failing):
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    failing.fails_at = 20
    with (
        pytest.raises(FileSystemFailure, match="a: Input/output error"),
        source_file(tmp_path / "a", "a picture") as file,
        contextlib.suppress(OSError),
    ):
        shutil.copyfileobj(file, io.BytesIO())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "found a git-lfs pointer to it",
        ),
        (b"\n<!DOCTYPE html>\n<html>Sign in</html>", "found an HTML page"),
        (b'{"error": "not found"}', "found a server's answer"),
    ],
)
@pytest.mark.parametrize(
    ("read", "what"), [(open_picture, "a picture"), (sample_frames, "a video")]
)
def test_what_stands_in_the_place_of_a_file_is_named(
    tmp_path, read, what, content, reason
):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnreadableInput, match=f"expected {what}, {reason}"):
        read(tmp_path / "a")
