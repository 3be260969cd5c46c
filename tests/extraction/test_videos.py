"""Which frames of a video are taken, and what is refused."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.extraction import videos
from hm3_jax.extraction.errors import UnreadableInput
from hm3_jax.extraction.videos import map_frames, pool_frames
from tests.conftest import REPOSITORY
from tests.extraction.clips_av import (
    decode_all,
    flat_frames,
    sample_frames,
    write_header,
    write_sound_file,
    write_sound_with_cover,
    write_video,
)

pytest.importorskip("av", reason="needs PyAV to make videos")

SAR = REPOSITORY.parent / "shared" / "cases" / "sar" / "pal_wide.mp4"


def clip4clip_frames(count, rate, max_frames):
    """Numbers of the frames that CLIP4Clip takes at 1 frame a second, in plain Python.

    `rate` is a whole number, as it takes it for.
    """
    taken = [second * rate for second in range((count + rate - 1) // rate)]
    if len(taken) > max_frames:
        step = (len(taken) - 1) / max(max_frames - 1, 1)
        taken = [taken[math.floor(i * step + 1e-9)] for i in range(max_frames)]
    return taken


def numbers(pictures, path):
    """Which frames of a video these are; no two of its frames are equal."""
    order = {frame.tobytes(): number for number, frame in enumerate(decode_all(path))}
    return [order[np.asarray(picture).tobytes()] for picture in pictures]


@pytest.mark.parametrize(
    ("count", "rate"),
    [(1, 10), (9, 10), (10, 10), (11, 10), (45, 10), (50, 25), (51, 25), (24, 1)],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_takes_the_frames_that_clip4clip_takes(tmp_path, count, rate, suffix):
    path = write_video(tmp_path / f"a.{suffix}", flat_frames(count), rate=rate)
    everything = decode_all(path)
    assert len(everything) == count
    for max_frames in (32, 4, 1):
        found = sample_frames(path, max_frames=max_frames)
        wanted = clip4clip_frames(count, rate, max_frames)
        assert len(found) == len(wanted)
        for picture, number in zip(found, wanted, strict=True):
            assert picture.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(picture), everything[number])


def test_long_videos_are_taken_evenly_from_first_to_last(tmp_path):
    path = write_video(tmp_path / "a.mp4", flat_frames(100, 16, 16), rate=1)
    found = numbers(sample_frames(path), path)
    assert found == clip4clip_frames(100, 1, 32)
    assert (found[0], found[-1], len(found)) == (0, 99, 32)


def test_frames_follow_the_clock_and_not_their_number(tmp_path):
    # In milliseconds; the last frame stays as long as its packet says, 1 s.
    pts = [0, 40, 80, 2500, 2600, 7000]
    path = write_video(
        tmp_path / "a.mkv",
        flat_frames(6),
        rate=1,
        pts=pts,
        time_base=Fraction(1, 1000),
    )
    found = numbers(sample_frames(path), path)
    assert found[:7] == [0, 2, 2, 4, 4, 4, 4]
    assert found[7:] == [5]
    assert numbers(sample_frames(path, max_frames=3), path) == [0, 4, 5]


def test_odd_rates_take_what_is_on_the_screen(tmp_path):
    path = write_video(
        tmp_path / "a.mp4", flat_frames(100, 16, 16), rate=Fraction(30000, 1001)
    )
    # Frame 30 appears 1.001 s after the first.
    assert numbers(sample_frames(path), path) == [0, 29, 59, 89]


def test_more_frames_a_second(tmp_path):
    path = write_video(tmp_path / "a.mp4", flat_frames(20), rate=10)
    found = numbers(sample_frames(path, frames_per_second=2.5), path)
    assert found == [0, 4, 8, 12, 16]
    found = numbers(sample_frames(path, frames_per_second=20, max_frames=100), path)
    assert found == [number // 2 for number in range(40)]


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_the_clock_starts_with_the_first_frame(tmp_path, suffix):
    path = write_video(
        tmp_path / f"a.{suffix}",
        flat_frames(25),
        pts=[5000 + number * 100 for number in range(25)],
        time_base=Fraction(1, 1000),
    )
    assert numbers(sample_frames(path), path) == [0, 10, 20]


def test_without_timestamps_frames_follow_evenly(tmp_path):
    path = write_video(tmp_path / "a.h264", flat_frames(55), rate=25)
    assert numbers(sample_frames(path), path) == [0, 25, 50]


@pytest.mark.parametrize("sound", [False, True])
def test_sound_changes_nothing(tmp_path, sound):
    path = write_video(tmp_path / "a.mp4", flat_frames(25), sound=sound)
    assert numbers(sample_frames(path), path) == [0, 10, 20]


ONE = 1 << 16


@pytest.mark.parametrize(
    "turn",
    [
        (1, 0, 0, 1),
        (-1, 0, 0, -1),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, -1, 0),
    ],
    ids=str,
)
def test_rotation_metadata_is_applied(tmp_path, turn):
    a, b, c, d = turn
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[:16, :24], frame[:16, 24:], frame[16:, :24] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    )
    path = write_video(tmp_path / "a.mp4", [frame], matrix=matrix)
    shown = {}
    for (y, x), pixel in zip(
        np.ndindex(32, 48), decode_all(path)[0].reshape(-1, 3), strict=True
    ):
        shown[b * x + d * y, a * x + c * y] = pixel
    rows = sorted({y for y, _ in shown})
    columns = sorted({x for _, x in shown})
    expected = np.array([[shown[y, x] for x in columns] for y in rows])
    (found,) = sample_frames(path)
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_a_slanted_display_is_left_as_it_is(tmp_path):
    half = round(0.7071 * ONE)
    matrix = [half, half, 0, -half, half, 0, 0, 0, 1 << 30]
    path = write_video(tmp_path / "a.mp4", flat_frames(1), matrix=matrix)
    (found,) = sample_frames(path)
    np.testing.assert_array_equal(np.asarray(found), decode_all(path)[0])


@pytest.mark.parametrize(
    ("pixel_shape", "size"),
    [
        (Fraction(1), (72, 58)),
        (Fraction(64, 45), (102, 58)),  # PAL, 16:9
        (Fraction(16, 15), (77, 58)),  # PAL, 4:3
        (Fraction(8, 9), (72, 65)),  # NTSC, 4:3
        (Fraction(1, 2), (72, 116)),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_pixels_that_are_not_square_are_shown_as_they_are(
    tmp_path, suffix, pixel_shape, size
):
    frame = np.zeros((58, 72, 3), np.uint8)
    frame[:29, :36], frame[29:, 36:] = (255, 0, 0), (0, 0, 255)
    path = write_video(tmp_path / f"a.{suffix}", [frame], pixel_shape=pixel_shape)
    (found,) = sample_frames(path)
    assert found.size == size
    # Quarters stay quarters.
    width, height = size
    pixels = np.asarray(found).astype(int)
    for x, y, colour in ((1, 1, (255, 0, 0)), (3, 1, (0, 0, 0)), (3, 3, (0, 0, 255))):
        corner = pixels[y * height // 4, x * width // 4]
        assert np.abs(corner - colour).max() <= 8


def test_pixels_become_square_before_the_picture_is_turned(tmp_path):
    turn = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]
    path = write_video(
        tmp_path / "a.mp4", flat_frames(1), matrix=turn, pixel_shape=Fraction(2)
    )
    (found,) = sample_frames(path)
    assert found.size == (48, 128)


@pytest.mark.skipif(not SAR.exists(), reason="needs ../shared/cases")
def test_a_television_picture_has_its_shape():
    assert {frame.size for frame in sample_frames(SAR)} == {(1024, 576)}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_of_a_damaged_video_the_frames_that_decode_are_taken(tmp_path, suffix):
    seed = np.random.default_rng(0)
    noise = list(seed.integers(0, 256, (100, 48, 64, 3), dtype=np.uint8))
    path = write_video(tmp_path / f"a.{suffix}", noise, rate=10)
    content = bytearray(path.read_bytes())
    wanted = [np.asarray(frame) for frame in sample_frames(path)]
    # Ten frames in the middle; x264's whole pictures lie before and behind.
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = bytes(len(content) // 10)
    path.write_bytes(content)
    damages = []
    found = map_frames(path, np.asarray, damage=damages.append)
    assert len(damages) == 1 and "damaged: taken without" in damages[0]
    assert 4 < len(found) <= 10
    # What was shown before the damage is the same.
    for before, after in zip(wanted[:4], found[:4], strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_whole_video_is_not_called_damaged(tmp_path):
    for suffix in ("mp4", "mkv", "avi", "ts", "h264"):
        path = write_video(tmp_path / f"a.{suffix}", flat_frames(30), rate=10)
        damages = []
        assert len(map_frames(path, np.asarray, damage=damages.append)) >= 2
        assert damages == []


def test_only_frames_that_are_taken_are_looked_at(tmp_path):
    path = write_video(tmp_path / "a.mp4", flat_frames(100, 16, 16), rate=10)
    seen = []
    found = map_frames(path, lambda frame: seen.append(frame) or len(seen))
    assert found == list(range(1, 11)) and len(seen) == 10


@pytest.mark.parametrize("times", [[], [0.0], [0.0, 0.1, 0.2]])
def test_wrong_containers_are_decoded_again(tmp_path, monkeypatch, times):
    path = write_video(tmp_path / "a.mp4", flat_frames(45))
    wanted = numbers(sample_frames(path), path)
    monkeypatch.setattr(videos, "_packet_times", lambda path: (times, 0.3))
    assert numbers(sample_frames(path), path) == wanted


def test_a_picture_is_a_video_of_one_frame(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (40, 30), (10, 20, 30)).save(tmp_path / "a.png")
    (found,) = sample_frames(tmp_path / "a.png")
    np.testing.assert_array_equal(
        np.asarray(found), np.broadcast_to((10, 20, 30), (30, 40, 3))
    )


def cut(path, kept):
    data = write_video(path, flat_frames(30)).read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_some_videos_cut_short_count_as_far_as_they_go(tmp_path, suffix):
    seed = np.random.default_rng(0)
    noise = seed.integers(0, 256, (50, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / f"a.{suffix}", list(noise))
    whole = sample_frames(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = sample_frames(path)
    assert len(whole) == 5 and len(found) == 3
    # The last of them may lie where the file ends.
    for before, after in zip(whole[:2], found[:2], strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


def with_unknown_codec(path):
    data = write_video(path, flat_frames(5)).read_bytes()
    assert data.count(b"avc1") > 0
    path.write_bytes(data.replace(b"avc1", b"zzzz"))
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "found no such file"),
        (lambda path: path.write_bytes(b"") and path or path, "found an empty file"),
        (lambda path: cut(path, 0.5), "cut short"),
        (lambda path: cut(path, 0.01), "cut short"),
        (write_sound_file, "expected a video, found sound only"),
        (write_sound_with_cover, "expected a video, found sound only"),
        (with_unknown_codec, "expected a video, found an unknown codec"),
        (write_header, "expected a video, found no"),
    ],
    ids=["missing", "empty", "half", "start", "sound", "cover", "codec", "header"],
)
def test_what_is_no_video_is_refused(tmp_path, make, reason):
    path = make(tmp_path / "a.mp4")
    with pytest.raises(UnreadableInput) as info:
        sample_frames(path)
    assert info.value.path == path and reason in info.value.reason
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_damage_anywhere_is_refused_or_lived_with(tmp_path, suffix):
    data = write_video(tmp_path / f"a.{suffix}", flat_frames(12)).read_bytes()
    seed = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = np.frombuffer(data, np.uint8).copy()
        places = seed.integers(0, seed.choice([200, len(data)]), 8)
        damaged[places] = seed.integers(0, 256, 8)
        (tmp_path / "damaged").write_bytes(damaged.tobytes())
        try:
            assert sample_frames(tmp_path / "damaged")
        except UnreadableInput as error:
            assert "\n" not in str(error)
            refused += 1
    assert 0 < refused < 40


@pytest.mark.parametrize(
    "text",
    [
        "This is a text.\n" * 20,
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
    ],
    ids=["text", "playlist", "concat"],
)
def test_texts_named_as_videos_are_refused(tmp_path, text):
    other = write_video(tmp_path / "other.mp4", flat_frames(5))
    (tmp_path / "a.mp4").write_text(text.format(other=other))
    with pytest.raises(UnreadableInput, match="of another kind"):
        sample_frames(tmp_path / "a.mp4")


def test_videos_of_absurd_shape_are_refused(tmp_path):
    frame = np.zeros((2, 512, 3), np.uint8)
    path = write_video(tmp_path / "a.mp4", [frame])
    with pytest.raises(UnreadableInput, match="found 512 x 2"):
        sample_frames(path)


@pytest.mark.parametrize(
    "numbers",
    [{"frames_per_second": 0}, {"max_frames": 0}, {"frames_per_second": math.nan}],
    ids=str,
)
def test_refuses_numbers_that_are_not_positive(numbers):
    with pytest.raises(ValueError, match="expected more than 0 frames per second"):
        sample_frames(Path("a.mp4"), **numbers)


def test_pooling():
    features = np.array([[1, 2], [3, 5], [8, 2]], np.float32)
    mean = pool_frames(features, "mean")
    assert mean.dtype == np.float32
    np.testing.assert_array_equal(mean, [4, 3])
    np.testing.assert_array_equal(pool_frames(features, "first_frame"), [1, 2])


@pytest.mark.parametrize(
    ("frames", "pooling"), [(2, "max"), (0, "mean"), (0, "first_frame")]
)
def test_pooling_refuses(frames, pooling):
    with pytest.raises(ValueError, match="expected a pooling of mean, first_frame"):
        pool_frames(np.ones((frames, 2), np.float32), pooling)
