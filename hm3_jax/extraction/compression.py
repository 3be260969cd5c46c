"""Makes videos small enough to extract features from quickly, as published.

A compressed video has a short side of 224 pixels, 3 frames a second, no sound, and is
H.264. Its frames are those on the screen 0, 1/3, 2/3, ... seconds after the first, so
that sampling it once a second finds the moments that sampling the original finds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from hm3_jax.data.picture_formats import VIDEO_SUFFIXES
from hm3_jax.extraction.errors import (
    FileSystemFailure,
    MissingInput,
    UnreadableInput,
    require_packages,
)
from hm3_jax.extraction.video_file import TimedFrame, timed_frames
from hm3_jax.extraction.videos import LATE
from hm3_jax.files.errors import is_full_disk, naming_instead
from hm3_jax.files.flush import sync
from hm3_jax.files.hidden import new_hidden_name
from hm3_jax.files.locks import lock, unlock

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from PIL import Image

SHORT_SIDE = 224
FRAMES_PER_SECOND = 3

# Names stay, so that a list of files holds for both folders. A container that does not
# take H.264 is made a Matroska file of the same name: readers look inside.
_CONTAINERS = {".avi": "avi", ".m4v": "mp4", ".mov": "mov", ".mp4": "mp4"}
_OTHER_CONTAINER = "matroska"

# Seconds. Damaged times would make a video of frames that all look alike.
_LONGEST = 24 * 3600


def compress_or_copy(
    source: Path, target: Path, partial: Path | None = None
) -> str | None:
    """Compresses a video, or copies a file that cannot be compressed.

    The target is complete or absent: it is written beside its place and then renamed.

    Args:
        source: The video.
        target: File to make; its folder is made too.
        partial: Where it is written; chosen if not given.

    Returns:
        None if it was compressed, and else why it was not.

    Raises:
        FileSystemFailure: If the video cannot be read.
        OSError: If files cannot be copied or written.
        ModuleNotFoundError: If PyAV or Pillow is not installed.
    """
    require_packages("av", "PIL")
    with _whole(target, partial) as partial:
        try:
            suffix = target.suffix.lower()
            # FFmpeg would take pictures and texts as well.
            if suffix not in VIDEO_SUFFIXES:
                raise UnreadableInput(
                    source, f"expected a video, found a {suffix} file"
                )
            _compress(source, partial, _CONTAINERS.get(suffix, _OTHER_CONTAINER))
        except MissingInput as error:
            raise FileSystemFailure(
                source, "it was there before, and is gone"
            ) from error
        except UnreadableInput as error:
            shutil.copyfile(source, partial)
            return error.reason
    return None


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file; the target is complete or absent."""
    with _whole(target) as partial:
        shutil.copyfile(source, partial)


@contextmanager
def _whole(target: Path, partial: Path | None = None) -> Iterator[Path]:
    partial = partial or new_hidden_name(target, "partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    with naming_instead(target, partial):
        descriptor, _ = lock(partial)
        try:
            yield partial
            sync(partial)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            unlock(descriptor)


def _compress(source: Path, target: Path, container: str) -> None:
    import av
    from av.error import FFmpegError

    try:
        with av.open(f"file:{target}", "w", format=container) as video:
            stream: VideoStream | None = None
            for number, shown in enumerate(_at_even_times(source)):
                picture = shown.picture()
                if stream is None:
                    stream = _add_stream(video, _new_size(*picture.size))
                _write(video, stream, picture, number)
            if stream is None:
                raise UnreadableInput(source, "expected a video, found no frame in it")
            video.mux(stream.encode(None))
    except FFmpegError as error:
        if is_full_disk(error):
            raise OSError(error.errno, error.strerror, str(target)) from None
        reason = f"expected what H.264 takes, found {error.strerror}"
        raise UnreadableInput(source, reason) from None


def _at_even_times(source: Path) -> Iterator[TimedFrame]:
    """The frames on the screen at every multiple of the new frames' duration."""
    shown: TimedFrame | None = None
    first = last = 0.0
    count = 0

    def refuse(damage: str) -> None:
        # As it is, no part of it is lost, and it is extracted as far as it decodes.
        raise UnreadableInput(source, f"expected a whole video, found it {damage}")

    def until(time: float) -> Iterator[TimedFrame]:
        nonlocal count
        while shown is not None and first + count / FRAMES_PER_SECOND < time - LATE:
            yield shown
            count += 1

    for frame in timed_frames(source, refuse):
        first = frame.start if shown is None else first
        if frame.start - first > _LONGEST:
            raise UnreadableInput(source, "expected at most a day of video, found more")
        yield from until(frame.start)
        shown, last = frame, frame.end
    yield from until(last)
    if shown is not None and count == 0:  # over in no time, and yet one frame
        yield shown


def _new_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with the short side; the long one is even, for H.264."""
    scale = SHORT_SIDE / min(width, height)
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _add_stream(video: OutputContainer, size: tuple[int, int]) -> VideoStream:
    # Weighing blocks by what later frames take from them is left out: with it, some
    # builds of x264 give other bits each time.
    options = {"x264-params": "mbtree=0"}
    stream = video.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    # Videos are compressed side by side, each in a process of its own.
    stream.codec_context.thread_count = 1
    return stream


def _write(
    video: OutputContainer, stream: VideoStream, picture: Image.Image, number: int
) -> None:
    from av import VideoFrame
    from PIL.Image import Resampling

    size = stream.width, stream.height
    frame = VideoFrame.from_image(picture.resize(size, Resampling.BICUBIC))
    frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
    video.mux(stream.encode(frame))
