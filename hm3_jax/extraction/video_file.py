"""Opens videos and decodes their frames, one after another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.extraction.errors import (
    FileSystemFailure,
    UnreadableInput,
    first_line,
)
from hm3_jax.extraction.pictures import check_pixels
from hm3_jax.extraction.source_file import source_file

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL import Image


@dataclasses.dataclass(frozen=True, slots=True)
class TimedFrame:
    """One frame, and when it is on the screen.

    Attributes:
        start: When it appears, in seconds.
        end: When it disappears; where the next one's start differs, go by that.
        frame: As it was decoded.
        pixel_shape: How many times as wide as high one of its pixels is.
    """

    start: float
    end: float
    frame: VideoFrame
    pixel_shape: Fraction

    def picture(self) -> Image.Image:
        """What is shown, in mode RGB.

        Pixels are made square by stretching, and the picture is turned and mirrored as
        its metadata say.
        """
        from PIL import Image

        picture = self.frame.to_image()
        shown = shown_size(picture.width, picture.height, self.pixel_shape)
        if shown != picture.size:
            picture = picture.resize(shown, Image.Resampling.BICUBIC)
        side = self.frame.side_data.get("DISPLAYMATRIX")
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


def shown_size(width: int, height: int, pixel_shape: Fraction) -> tuple[int, int]:
    """Width and height in square pixels; neither becomes less."""
    if pixel_shape >= 1:
        return round(width * pixel_shape), height
    return width, round(height / pixel_shape)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video; what FFmpeg finds wrong with it becomes `UnreadableInput`.

    Args:
        path: The video, in any format that FFmpeg reads.

    Returns:
        A context with the container and its first stream of moving pictures.

    Raises:
        UnreadableInput: If there is no such file, it is damaged or no video.
        FileSystemFailure: If the file system failed, in the block too.
    """
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    try:
        with (
            source_file(path, "a video") as file,
            # A playlist could name files elsewhere, and a file a protocol.
            av.open(
                file,
                "r",
                options={"protocol_whitelist": "file"},
                metadata_errors="replace",
            ) as video,
        ):
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
            width, height = streams[0].width, streams[0].height
            check_pixels(path, *shown_size(width, height, _pixel_shape(streams[0])))
            # Videos are decoded side by side, each in a process of its own.
            streams[0].codec_context.thread_count = 1
            yield video, streams[0]
    except UnreadableInput:
        raise
    except (FFmpegError, ValueError, RuntimeError) as error:
        if isinstance(error, FileSystemFailure):
            raise
        raise UnreadableInput(
            path,
            "expected a whole video, found it damaged, cut short or of another kind "
            f"({_said(error)})",
        ) from None


def timed_frames(
    path: Path, damage: Callable[[str], None] = lambda reason: None
) -> Iterator[TimedFrame]:
    """Decodes a video.

    Args:
        path: The video, in any format that FFmpeg reads.
        damage: Is told in the end, if parts of the video could not be decoded.

    Yields:
        The frames that decode; their starts ascend.

    Raises:
        UnreadableInput: If there is no such file, it is no video, or so damaged or cut
            short that no frame decodes.
        FileSystemFailure: If the file system failed.
    """
    start = end = -math.inf
    with open_video(path) as (video, stream):
        step = 1 / float(stream.guessed_rate or stream.average_rate or 25)
        pixel_shape = _pixel_shape(stream)
        # AVI numbers frames as they are decoded and not as they are shown.
        timeless = video.format.name == "avi"
        faults: list[Exception] = []
        spoilt = 0
        for frame in _frames(video, stream, faults):
            # Without times, frames follow one another evenly.
            known = not timeless and frame.time is not None
            start = max(frame.time if known else max(end, 0.0), start)
            duration = float((frame.duration or 0) * (frame.time_base or 0))
            end = start + (duration or step)
            spoilt += frame.is_corrupt
            yield TimedFrame(start, end, frame, pixel_shape)
        if faults and start == -math.inf:
            raise faults[0]
        if faults or spoilt:
            said = f" ({_said(faults[0])})" if faults else ""
            damage(
                f"damaged: taken without what does not decode in {len(faults)} places"
                f"{said}, and with {spoilt} frames that decode in part"
            )


def _frames(
    video: InputContainer, stream: VideoStream, faults: list[Exception]
) -> Iterator[VideoFrame]:
    """The frames that decode; notes what was raised in between."""
    from av.error import FFmpegError

    packets = video.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            # What lies behind cannot be found; frames may wait in the decoder.
            faults.append(error)
            packet = None
        try:
            yield from stream.decode(packet)
        except FFmpegError as error:
            faults.append(error)
        if packet is None or packet.size == 0:
            return


def _pixel_shape(stream: VideoStream) -> Fraction:
    ratio = stream.sample_aspect_ratio
    return ratio if ratio is not None and ratio > 0 else Fraction(1)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
