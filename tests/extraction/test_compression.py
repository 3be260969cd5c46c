import multiprocessing
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("PIL")

from hm3_jax.extraction import compress_tree as tree_module  # noqa: E402
from hm3_jax.extraction.compress_tree import compress_tree  # noqa: E402
from hm3_jax.extraction.compression import compress_or_copy  # noqa: E402
from hm3_jax.extraction.errors import FileSystemFailure  # noqa: E402
from hm3_jax.files.hidden import new_hidden_name  # noqa: E402
from hm3_jax.files.locks import locked  # noqa: E402
from tests.commands import fail, succeed  # noqa: E402
from tests.extraction.clips_av import (  # noqa: E402
    flat_frames,
    sample_frames,
    write_header,
    write_sound_file,
    write_video,
)


def silent(line):
    del line


def moving_frames(count, height=224, width=224):
    """A camera over a surface without repetition."""
    surface = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    surface = surface.repeat(8, 0).repeat(8, 1)
    return [
        np.ascontiguousarray(surface[3 * i : height + 3 * i, i : width + i])
        for i in range(count)
    ]


def facts(path):
    """Codec, size, rate, frames and kinds of streams, as FFmpeg tells them."""
    with av.open(str(path)) as video:
        (stream,) = video.streams
        frames = sum(1 for _ in video.decode(stream))
        context = stream.codec_context
        size = (context.width, context.height)
        return context.name, size, stream.average_rate, frames, video.format.name


def greys(pictures):
    return [float(np.asarray(picture).mean()) for picture in pictures]


@pytest.mark.parametrize(
    ("name", "height", "width", "size", "container"),
    [
        ("a.mp4", 48, 64, (298, 224), "mov,mp4,m4a,3gp,3g2,mj2"),
        ("a.MOV", 64, 48, (224, 298), "mov,mp4,m4a,3gp,3g2,mj2"),
        ("a.avi", 300, 300, (224, 224), "avi"),
        ("a.webm", 270, 480, (398, 224), "matroska,webm"),
        ("a.mkv", 16, 160, (2240, 224), "matroska,webm"),
    ],
)
def test_a_video_becomes_small(tmp_path, name, height, width, size, container):
    source = tmp_path / "source.mp4"
    write_video(source, flat_frames(25, height, width), sound=True)
    target = tmp_path / "new" / name
    assert compress_or_copy(source, target) is None
    # 2.5 seconds have eight multiples of a third of a second.
    assert facts(target) == ("h264", size, 3, 8, container)
    assert os.listdir(target.parent) == [name]


@pytest.mark.parametrize("rate", [1, 3, 10, 24, 25, 30, Fraction(30000, 1001)])
def test_sampling_it_finds_the_same_moments(tmp_path, rate):
    source = write_video(tmp_path / "a.mp4", flat_frames(50, 224, 224), rate=rate)
    assert compress_or_copy(source, tmp_path / "b.mp4") is None
    seconds = float(50 / Fraction(rate))
    assert facts(tmp_path / "b.mp4")[3] == int(np.ceil((seconds - 0.0005) * 3))
    for per_second in (1.0, 3.0):
        expected = sample_frames(source, frames_per_second=per_second, max_frames=999)
        found = sample_frames(
            tmp_path / "b.mp4", frames_per_second=per_second, max_frames=999
        )
        np.testing.assert_allclose(greys(found), greys(expected), atol=3)


def test_variable_frame_rate_and_a_late_start(tmp_path):
    source = tmp_path / "a.mp4"
    frames = flat_frames(5, 224, 224)  # grey 0, 64, 128, 191, 255
    write_video(source, frames, pts=[500, 600, 1600, 1700, 2500])
    assert compress_or_copy(source, tmp_path / "b.mp4") is None
    found = greys(sample_frames(tmp_path / "b.mp4", frames_per_second=3, max_frames=9))
    # At 0.5, 0.83, 1.17, 1.5, 1.83, 2.17, 2.5 seconds; the last frame is a short one.
    expected = [0, 64, 64, 64, 191, 191, 255]
    np.testing.assert_allclose(found[: len(expected)], expected, atol=3)


def test_turned_videos_are_upright(tmp_path):
    # A pixel at (x, y) is shown at (-y, x): what is on the left comes to the top.
    one = 1 << 16
    turn = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30]
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, 32:] = 255
    source = write_video(tmp_path / "a.mp4", [frame] * 10, matrix=turn)
    assert compress_or_copy(source, tmp_path / "b.mp4") is None
    assert facts(tmp_path / "b.mp4")[1] == (224, 298)
    (picture,) = sample_frames(tmp_path / "b.mp4")
    pixels = np.asarray(picture)
    assert pixels[:140].mean() < 5
    assert pixels[-140:].mean() > 250


@pytest.mark.parametrize(
    ("pixel_shape", "size"),
    [(Fraction(64, 45), (398, 224)), (Fraction(1, 2), (224, 358))],
)
def test_a_compressed_video_has_the_shape_that_is_shown(tmp_path, pixel_shape, size):
    frames = flat_frames(4, 576, 720)
    source = write_video(tmp_path / "a.mp4", frames, pixel_shape=pixel_shape)
    assert compress_or_copy(source, tmp_path / "b.mp4") is None
    assert facts(tmp_path / "b.mp4")[1] == size
    with av.open(str(tmp_path / "b.mp4")) as video:
        assert video.streams.video[0].sample_aspect_ratio in (None, 0, 1)


def test_a_damaged_video_is_copied_with_all_that_it_has(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    source = write_video(tmp_path / "a.mkv", list(noise))
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 30_000] = bytes(30_000)
    source.write_bytes(content)
    reason = compress_or_copy(source, tmp_path / "b.mkv")
    assert reason is not None and "damaged: taken without what does not" in reason
    assert (tmp_path / "b.mkv").read_bytes() == content


def test_a_video_that_went_away_ends_the_work(tmp_path):
    write_many(tmp_path / "in", 2)
    with pytest.raises(FileSystemFailure, match="1.mp4: it was there before, and is"):
        compress_or_copy(tmp_path / "in" / "1.mp4", tmp_path / "out" / "1.mp4")
    assert not list((tmp_path / "out").iterdir())


def test_a_decoder_that_hangs_is_ended(tmp_path, monkeypatch):
    write_many(tmp_path / "in", 1)
    for name in ("0.json", ".hidden"):
        (tmp_path / "in" / name).unlink()
    monkeypatch.setattr(tree_module, "_work", _hang)
    report = compress_tree(
        tmp_path / "in",
        tmp_path / "out",
        workers=1,
        seconds_per_file=0.5,
        say=silent,
    )
    assert report.copied == {
        "0.mp4": "its decoder was ended after 0.5 s (--seconds_per_file allows more)"
    }
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def _hang(pipe):
    del pipe
    time.sleep(3600)


def test_the_same_video_gives_the_same_bytes(tmp_path):
    source = write_video(tmp_path / "a.mp4", moving_frames(12), rate=3)
    made = set()
    for number in range(20):
        # What lies in memory must not matter.
        junk = np.random.default_rng(number).bytes(10_007 * (number + 1))
        assert compress_or_copy(source, tmp_path / f"{number}.mp4") is None
        made.add((tmp_path / f"{number}.mp4").read_bytes())
        del junk
    assert len(made) == 1


def test_one_frame_is_enough(tmp_path):
    source = write_video(tmp_path / "a.mp4", flat_frames(1), rate=60)
    # As long a name as there can be.
    target = tmp_path / f"{'展' * 83}.mp4"
    assert compress_or_copy(source, target) is None
    assert facts(target)[3] == 1


BAD = {
    "empty.mp4": ("an empty file", b""),
    "text.mp4": ("damaged, cut short or of another kind", b"no video " * 99),
    "notes.txt": ("found a .txt file", b"notes"),
}


def write_bad(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, data) in BAD.items():
        (folder / name).write_bytes(data)
    write_sound_file(folder / "sound.mp4")
    write_header(folder / "header.mp4")
    write_video(folder / "thin.mp4", flat_frames(3, 2, 1600))
    write_video(folder / "far.mkv", flat_frames(3), pts=[0, 100, 10**8])
    whole = write_video(folder / "cut.mp4", flat_frames(60), rate=10).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    return BAD | {
        "sound.mp4": ("sound only", b""),
        "header.mp4": ("no moving pictures", b""),
        "thin.mp4": ("200 times as long as wide", b""),
        "far.mkv": ("expected at most a day of video", b""),
        "cut.mp4": ("damaged, cut short or of another kind", b""),
    }


def test_what_cannot_be_compressed_is_copied_and_named(tmp_path):
    reasons = write_bad(tmp_path / "in")
    report = compress_tree(tmp_path / "in", tmp_path / "out", workers=0, say=silent)
    assert report.compressed == 0
    assert set(report.copied) == set(reasons)
    for name, (reason, _) in reasons.items():
        assert reason in report.copied[name], name
        copy = (tmp_path / "out" / name).read_bytes()
        assert copy == (tmp_path / "in" / name).read_bytes()


def write_many(folder, count=4):
    for number in range(count):
        path = folder / ("a b" if number % 2 else ".") / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, flat_frames(20 + number, 120, 160))
    (folder / ".hidden").touch()
    (folder / "0.json").write_text("{}")
    (folder / "loop").symlink_to(".")
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_processes_do_what_one_does_and_go_on_where_it_ended(tmp_path):
    write_many(tmp_path / "in")
    lines = []
    one = compress_tree(tmp_path / "in", tmp_path / "one", workers=0, say=lines.append)
    assert (one.compressed, one.there_already) == (4, 0)
    assert list(one.copied) == ["0.json"]
    assert one.bytes_after == sum(
        len(data) for name, data in contents(tmp_path / "one").items() if "mp4" in name
    )
    assert lines[-1].startswith("videos: 5 of 5, ")
    # Two files are done, one of them not as it would be: it is left alone.
    (tmp_path / "two" / "a b").mkdir(parents=True)
    (tmp_path / "two" / "a b" / "1.mp4").write_bytes(b"kept")
    leftover = new_hidden_name(tmp_path / "two" / "0.mp4", "partial")
    leftover.write_bytes(b"of a process that has ended, on whatever machine")
    others = new_hidden_name(tmp_path / "two" / "0.mp4", "partial")
    with locked(others):
        two = compress_tree(tmp_path / "in", tmp_path / "two", workers=3, say=silent)
    assert (two.compressed, two.there_already) == (3, 1)
    expected = contents(tmp_path / "one")
    assert set(expected) == {"0.json", "0.mp4", "2.mp4", "a b/1.mp4", "a b/3.mp4"}
    others.unlink()
    assert contents(tmp_path / "two") == expected | {"a b/1.mp4": b"kept"}


def test_a_crashing_decoder_costs_one_file(tmp_path, monkeypatch):
    write_many(tmp_path / "in")
    monkeypatch.setattr(tree_module, "_work", _crash_at_two)
    report = compress_tree(tmp_path / "in", tmp_path / "out", workers=2, say=silent)
    assert report.copied == {
        "0.json": "expected a video, found a .json file",
        "2.mp4": "its decoder crashed (exit code -9)",
    }
    assert report.compressed == 3
    copy = (tmp_path / "out" / "2.mp4").read_bytes()
    assert copy == (tmp_path / "in" / "2.mp4").read_bytes()


def test_a_worker_whose_parent_is_gone_ends_in_silence(tmp_path):
    """Also where the parent has left an answer unread."""
    ours, theirs = multiprocessing.Pipe()
    missing = tmp_path / "in" / "0.mp4"
    ours.send(
        tree_module.Compression(
            "0.mp4", missing, tmp_path / "0.mp4", tmp_path / ".0.partial"
        )
    )
    worker = multiprocessing.get_context("spawn").Process(
        target=tree_module._work, args=(theirs,)
    )
    worker.start()
    theirs.close()
    assert ours.poll(60)
    ours.close()
    worker.join(60)
    assert worker.exitcode == 0


def _crash_at_two(pipe):
    compress = tree_module.compress_or_copy

    def crash(source, target, partial):
        if source.name == "2.mp4":
            os.kill(os.getpid(), signal.SIGKILL)
        return compress(source, target, partial)

    tree_module.compress_or_copy = crash
    _WORK(pipe)


_WORK = tree_module._work


def test_a_disk_that_fails_ends_the_work(tmp_path):
    write_many(tmp_path / "in", 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a b").write_text("in the way")
    for workers in (0, 2):
        with pytest.raises(OSError, match="a b"):
            compress_tree(
                tmp_path / "in", tmp_path / "out", workers=workers, say=silent
            )


@pytest.fixture
def start(tmp_path, repository):
    """Starts the command in a process of its own."""

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "hm3_jax.compress_video", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(repository)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


COMMAND = ["--input_root=in", "--output_root=out", "--num_workers=2"]


@pytest.mark.parametrize("seconds", [0.4, 0.8])
def test_a_killed_run_goes_on_to_the_same_files(tmp_path, run_module, start, seconds):
    write_many(tmp_path / "in")
    compress_tree(tmp_path / "in", tmp_path / "whole", workers=0, say=silent)
    with start(*COMMAND) as process:
        time.sleep(seconds)
        process.kill()
    assert run_module("hm3_jax.compress_video", *COMMAND).returncode == 0
    found = contents(tmp_path / "out")
    # A worker of the killed run may still be writing beside its file's place.
    whole = {name: data for name, data in found.items() if "partial" not in name}
    assert whole == contents(tmp_path / "whole")


def test_an_interrupted_run_leaves_whole_files_only(tmp_path, start):
    write_many(tmp_path / "in", 30)
    with start(*COMMAND) as process:
        while not list(tmp_path.glob("out/*.mp4")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == "interrupted"
    found = contents(tmp_path / "out")
    assert 1 <= len(found) < 30
    for name in found:
        if name.endswith(".mp4"):
            assert facts(tmp_path / "out" / name)[0] == "h264"
        else:
            assert name == "0.json"


def test_the_command_says_what_it_did(run_module, tmp_path):
    write_many(tmp_path / "in", 2)
    (tmp_path / "in" / "bad.mp4").touch()
    arguments = ["--input_root=in", "--output_root=out", "--num_workers=0"]
    result = run_module("hm3_jax.compress_video", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1].startswith("videos: 4 of 4, ")
    first, second, last = result.stdout.splitlines()
    assert first == ("copied as it is: 0.json: expected a video, found a .json file")
    assert second.startswith("copied as it is: bad.mp4: expected a video, found an emp")
    assert last.startswith("out: 2 compressed (0.0 MB became 0.0 MB), 2 copied, 0 ther")
    done = succeed(run_module("hm3_jax.compress_video", *arguments))
    assert "0 compressed (0.0 MB became 0.0 MB), 0 copied, 4 there already" in done


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--input_root=none", "--output_root=out"], "none: expected a folder of vide"),
        (["--input_root=empty", "--output_root=out"], "empty: expected videos, found"),
        (["--input_root=empty", "--output_root=empty/x"], "found one inside"),
        (["--input_root=empty", "--output_root=empty"], "found one inside"),
        (["--input_root=empty"], "missing --output_root"),
        (["--input_root=a", "--output_root=b", "--num_workers=-1"], "num_workers"),
    ],
)
def test_bad_input_is_named(run_module, tmp_path, arguments, complaint):
    (tmp_path / "empty").mkdir()
    fail(run_module("hm3_jax.compress_video", *arguments), complaint)
