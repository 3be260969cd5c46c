"""Opens videos and decodes their frames, one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.extraction.errors import UnreadableInput, first_line
from hm3_jax.extraction.pictures import check_size

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL import Image


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video; what FFmpeg finds wrong with it becomes `UnreadableInput`.

    Args:
        path: The video, in any format that FFmpeg reads.

    Returns:
        A context with the container and its first stream of moving pictures.
    """
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    if not path.is_file():
        raise UnreadableInput(path, "expected a video, found no such file")
    if path.stat().st_size == 0:
        raise UnreadableInput(path, "expected a video, found an empty file")
    try:
        # A playlist could name files elsewhere, and a file a protocol.
        with av.open(
            f"file:{path}",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        ) as video:
            streams = [
                stream
                for stream in video.streams.video
                if not stream.disposition & Disposition.attached_pic
            ]
            if not streams:
                found = "sound only" if video.streams.audio else "no moving pictures"
                raise UnreadableInput(path, f"expected a video, found {found}")
            if streams[0].codec_context is None:
                raise UnreadableInput(path, "expected a video, found an unknown codec")
            check_size(path, streams[0].width, streams[0].height)
            # Videos are decoded side by side, each in a process of its own.
            streams[0].codec_context.thread_count = 1
            yield video, streams[0]
    except UnreadableInput:
        raise
    except (FFmpegError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UnreadableInput(
            path,
            "expected a whole video, found it damaged, cut short or of another kind "
            f"({reason})",
        ) from None


def timed_frames(path: Path) -> Iterator[tuple[float, float, VideoFrame]]:
    """Decodes a video.

    Args:
        path: The video, in any format that FFmpeg reads.

    Yields:
        When each frame appears and disappears, in seconds, and the frame. Starts
        ascend; where a frame's end and the next one's start differ, go by the start.

    Raises:
        UnreadableInput: If there is no such file, it is damaged, cut short or no video.
    """
    start = end = -math.inf
    with open_video(path) as (video, stream):
        step = 1 / float(stream.guessed_rate or stream.average_rate or 25)
        # AVI numbers frames as they are decoded and not as they are shown.
        timeless = video.format.name == "avi"
        for frame in video.decode(stream):
            # Without times, frames follow one another evenly.
            known = not timeless and frame.time is not None
            start = max(frame.time if known else max(end, 0.0), start)
            duration = float((frame.duration or 0) * (frame.time_base or 0))
            end = start + (duration or step)
            yield start, end, frame


def to_picture(frame: VideoFrame) -> Image.Image:
    """A frame in mode RGB, turned and mirrored as its metadata say."""
    from PIL import Image

    picture = frame.to_image()
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return picture
    # Rows (a, b, u), (c, d, v), (x, y, w) of 16.16 fixed-point numbers: a pixel at
    # (x, y) is shown at (a x + c y, b x + d y). Screens can do eight of these.
    matrix = np.frombuffer(bytes(side), np.int32).reshape(3, 3)[:2, :2]
    turn = {
        (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
        (0, 1, -1, 0): Image.Transpose.ROTATE_270,
        (0, -1, 1, 0): Image.Transpose.ROTATE_90,
        (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
        (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
        (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
        (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    }.get(tuple(np.rint(matrix / 65536).astype(int).ravel().tolist()))
    return picture if turn is None else picture.transpose(turn)
