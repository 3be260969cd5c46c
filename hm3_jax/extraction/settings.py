"""What an extraction is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from hm3_jax.extraction.decoding import SECONDS_PER_FILE
from hm3_jax.extraction.pictures import MAX_PIXELS
from hm3_jax.extraction.texts import TextSplit
from hm3_jax.extraction.videos import VideoPooling

OnError = Literal["skip", "fail"]
ON_ERROR: tuple[str, ...] = get_args(OnError)
Engine = Literal["local", "ray"]
ENGINES: tuple[str, ...] = get_args(Engine)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSettings:
    """What decides features beside the model; an extraction goes on only with these.

    Attributes:
        text_split: How descriptions are cut into texts.
        video_pooling: How the frames of a video become one feature.
        frames_per_second: Frames taken of a second of video.
        max_frames: Most frames of a video.
        batch_size: Texts, pictures or frames the model is given at once. It changes
            the last bits of features.
    """

    text_split: TextSplit = dataclasses.field(default_factory=TextSplit)
    video_pooling: VideoPooling = "mean"
    frames_per_second: float = 1.0
    max_frames: int = 32
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuses numbers that are too small."""
        for name, least in (("max_frames", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"--{name}: expected at least {least}, found {getattr(self, name)}"
                )
        if not self.frames_per_second > 0:
            raise ValueError(
                "--frames_per_second: expected more than 0, found "
                f"{self.frames_per_second}"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where things are.

    Attributes:
        museums: The museum list.
        output: The store to make, or to add to.
        input_root: Folder that files are named from; the list's own if None.
    """

    museums: Path
    output: Path
    input_root: Path | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which part of the work a process does, and how.

    Attributes:
        index: Which shard, from 0.
        shards: Into how many shards the work is split.
        num_workers: Processes that decode; None to choose.
        on_error: "skip" leaves out what cannot be read, "fail" stops at the first.
        seconds_per_file: What a decoder may take for one file before it is ended.
        max_pixels: Maximum pixels of a decoded picture.
        engine: "local" encodes in this process, "ray" in those of a Ray cluster.
        ray_address: The cluster, as `ray.init` takes it; None for Ray's own choice.
    """

    index: int = 0
    shards: int = 1
    num_workers: int | None = None
    on_error: OnError = "skip"
    seconds_per_file: float = SECONDS_PER_FILE
    max_pixels: int = MAX_PIXELS
    engine: Engine = "local"
    ray_address: str | None = None

    def __post_init__(self) -> None:
        """Refuses impossible numbers of shards and workers."""
        if self.shards < 1:
            raise ValueError(f"--num_shards: expected at least 1, found {self.shards}")
        if not 0 <= self.index < self.shards:
            raise ValueError(
                f"--shard_index: expected 0 to {self.shards - 1} with "
                f"--num_shards={self.shards}, found {self.index}"
            )
        if self.engine == "ray" and self.shards > 1:
            raise ValueError(
                f"--engine=ray shares out the work itself, found --num_shards="
                f"{self.shards}"
            )
        if self.engine != "ray" and self.ray_address is not None:
            raise ValueError(
                f"--ray_address is for --engine=ray, found --engine={self.engine}"
            )
        if not self.seconds_per_file > 0:
            raise ValueError(
                f"--seconds_per_file: expected more than 0, found "
                f"{self.seconds_per_file}"
            )
        if self.max_pixels < 1:
            raise ValueError(
                f"--max_pixels: expected at least 1, found {self.max_pixels}"
            )
        if self.num_workers is not None and self.num_workers < 0:
            raise ValueError(
                f"--num_workers: expected 0 or more, found {self.num_workers}"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreForm:
    """Name and dtype of a store.

    Attributes:
        dataset_name: Name of the data set.
        dtype: "float16" or "float32".
    """

    dataset_name: str
    dtype: str = "float16"
