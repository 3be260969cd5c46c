"""Takes frames of videos at even times, as CLIP4Clip does.

Which frames are taken follows from the times of all frames, and these are in the
container: it is read through once without decoding, and then decoded once, keeping the
chosen frames only. Where a container is wrong about its frames, it is decoded again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.errors import UnreadableInput, require_packages
from hm3_jax.extraction.video_file import open_video, timed_frames

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")
VideoPooling = Literal["mean", "first_frame"]
VIDEO_POOLINGS: tuple[str, ...] = get_args(VideoPooling)

LATE = 0.0005
"""Seconds: a frame this much late is in time, as containers round to milliseconds."""


def map_frames(
    path: Path,
    each: Callable[[Image.Image], T],
    *,
    frames_per_second: float = 1.0,
    max_frames: int = 32,
    damage: Callable[[str], None] = lambda reason: None,
) -> list[T]:
    """Takes frames of a video and does something to each, one after another.

    One after another, because the frames of a video in full size take much memory.

    The frames taken are those on the screen 0, 1, 2, ... / `frames_per_second` seconds
    after the first, by their timestamps, whatever the frame rate does. If these are
    more than `max_frames`, that many of them are taken evenly from first to last:
    `linspace` over their numbers, both ends included, rounded down (CLIP4Clip's
    `--slice_framepos 2`).

    Args:
        path: The video, in any format that FFmpeg reads.
        each: Called with each frame in mode RGB, in the shape that is shown.
        frames_per_second: Frames taken per second.
        max_frames: Maximum number of frames.
        damage: Is told if parts of the video could not be decoded.

    Returns:
        What `each` made of the frames, in order; at least one.

    Raises:
        UnreadableInput: If there is no such file, it is no video, or no frame of it
            decodes. A file that was cut short counts as far as it goes, if its form
            (such as Matroska's) allows to read it.
        FileSystemFailure: If the file system failed.
        ValueError: If a number is not positive.
        ModuleNotFoundError: If PyAV or Pillow is not installed.
    """
    require_packages("av", "PIL")
    if not frames_per_second > 0 or max_frames < 1:
        raise ValueError(
            "expected more than 0 frames per second and at least 1 frame, found "
            f"frames_per_second {frames_per_second} and max_frames {max_frames}"
        )
    expected = choose_frames(*_packet_times(path), frames_per_second, max_frames)
    damages: list[str] = []
    times, end, kept = _decode(path, set(expected), each, damages)
    if not times:
        raise UnreadableInput(path, "expected a video, found no frame in it")
    chosen = choose_frames(times, end, frames_per_second, max_frames)
    if not kept.keys() >= set(chosen):
        _, _, kept = _decode(path, set(chosen), each, damages)
    if damages:
        damage(damages[-1])
    return [kept[number] for number in chosen]


def choose_frames(
    times: list[float], end: float, frames_per_second: float, max_frames: int
) -> list[int]:
    """Which frames `map_frames` takes.

    Args:
        times: When each frame appears, in seconds, ascending.
        end: When the last one disappears.
        frames_per_second: Frames taken per second.
        max_frames: Maximum number of frames.

    Returns:
        Numbers of frames, ascending; one may occur more than once.
    """
    if not times:
        return []
    count = max(1, math.ceil((end - times[0] - LATE) * frames_per_second))
    samples = (
        np.arange(count)
        if count <= max_frames
        else np.linspace(0, count - 1, max_frames).astype(np.int64)
    )
    moments = times[0] + samples / frames_per_second
    shown = np.searchsorted(times, moments + LATE, side="right") - 1
    return shown.tolist()


def pool_frames(
    features: Float[np.ndarray, "frames d"], pooling: VideoPooling
) -> Float[np.ndarray, "d"]:
    """Makes one feature of those of a video's frames.

    Args:
        features: (frames, d) float32, at least one frame.
        pooling: "mean", or "first_frame" as in the published features.

    Returns:
        (d,) float32.

    Raises:
        ValueError: If the pooling is unknown or there is no frame.
    """
    if pooling not in VIDEO_POOLINGS or not len(features):
        raise ValueError(
            f"expected a pooling of {', '.join(VIDEO_POOLINGS)} and at least one "
            f"frame, found {pooling!r} and {len(features)} frames"
        )
    if pooling == "first_frame":
        return features[0]
    return features.mean(axis=0, dtype=np.float64).astype(np.float32)


def _packet_times(path: Path) -> tuple[list[float], float]:
    """Times of a video's frames and of its end, in seconds, as its container says."""
    from av.error import FFmpegError

    spans: list[tuple[float, float]] = []
    with open_video(path) as (video, stream):
        base = float(stream.time_base or 0)
        # What is damaged is for the decoder to find.
        with contextlib.suppress(FFmpegError):
            spans.extend(
                (packet.pts * base, (packet.duration or 0) * base)
                for packet in video.demux(stream)
                if packet.pts is not None and not packet.is_discard
            )
    spans.sort()
    times = [start for start, _ in spans]
    return times, sum(spans[-1]) if spans else 0.0


def _decode(
    path: Path,
    wanted: Collection[int],
    each: Callable[[Image.Image], T],
    damages: list[str],
) -> tuple[list[float], float, dict[int, T]]:
    """Decodes a video.

    Args:
        path: The video.
        wanted: Numbers of the frames to keep.
        each: Called with each of these.
        damages: Gets a line if parts of the video could not be decoded.

    Returns:
        Times of all frames and of the end, in seconds; what `each` made of the frames
        in `wanted`, as far as there are so many.
    """
    times: list[float] = []
    kept: dict[int, T] = {}
    last = 0.0
    for number, shown in enumerate(timed_frames(path, damages.append)):
        times.append(shown.start)
        last = shown.end
        if number in wanted:
            kept[number] = each(shown.picture())
    return times, last, kept
