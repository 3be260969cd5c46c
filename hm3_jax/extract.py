r"""Extracts features of museums with a CLIP model: pictures, texts, videos -> store.

Every distinct file and sentence is encoded once. Finished parts are kept in
OUTPUT.extraction, so the same command continues after an interruption. Files that
cannot be read are skipped and listed in OUTPUT/extraction_report.json. On a finished
store, the same command fills in what was skipped and adds what is new in the list.

  python -m hm3_jax.extract --museums=museums.jsonl --output=STORE --preset=hm3
  python -m hm3_jax.extract --museums=museums.jsonl --output=STORE \
      --model=ViT-B-32-quickgelu --pretrained=weights.pt

Several processes can share the work, here four tasks of a SLURM array; a fifth command
then makes the store:

  python -m hm3_jax.extract --museums=museums.jsonl --output=STORE --preset=hm3 \
      --num_shards=4 --shard_index=$SLURM_ARRAY_TASK_ID
  python -m hm3_jax.extract --museums=museums.jsonl --output=STORE --preset=hm3 --merge

launch/extract.slurm submits both for you. On a Ray cluster:

  python -m hm3_jax.extract --museums=museums.jsonl --output=STORE --preset=hm3 \
      --engine=ray --ray_address=HOST:6379
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from absl import flags

from hm3_jax.cli import clip_flags, frame, path_flags
from hm3_jax.data.store_format import DTYPES
from hm3_jax.data.summary import summary_line
from hm3_jax.extraction.decoding import SECONDS_PER_FILE
from hm3_jax.extraction.pictures import MAX_PIXELS
from hm3_jax.extraction.presets import Preset
from hm3_jax.extraction.run import extract, merge
from hm3_jax.extraction.settings import (
    ENGINES,
    ON_ERROR,
    FeatureSettings,
    Share,
    Sources,
    StoreForm,
)
from hm3_jax.extraction.texts import TEXT_SPLIT_STRATEGIES, TextSplit
from hm3_jax.extraction.videos import VIDEO_POOLINGS

_MUSEUMS = path_flags.define_path(
    "museums", None, "Museum list: museums.jsonl, see prepare.", required=True
)
_OUTPUT = path_flags.define_path(
    "output",
    None,
    "Store to make, or one that was made with the same flags, to add to.",
    required=True,
)
_INPUT_ROOT = path_flags.define_path(
    "input_root",
    None,
    "Folder that the list's paths are relative to; the list's own if not given.",
)
_TEXT_SPLIT_STRATEGY = flags.DEFINE_enum(
    "text_split_strategy",
    None,
    TEXT_SPLIT_STRATEGIES,
    "sentence_by_sentence (if not given): one feature per sentence; max_len: one "
    "feature per window of the model's context length.",
)
_TEXT_STRIDE = flags.DEFINE_integer(
    "text_stride",
    None,
    "Tokens by which windows of --text_split_strategy=max_len overlap.",
)
_VIDEO_POOLING = flags.DEFINE_enum(
    "video_pooling",
    None,
    VIDEO_POOLINGS,
    "How the features of a video's frames are pooled: mean (if not given), or "
    "first_frame, as in the published code.",
)
_FRAMES_PER_SECOND = flags.DEFINE_float(
    "frames_per_second", None, "Frames used per second of video; 1 if not given."
)
_MAX_FRAMES = flags.DEFINE_integer(
    "max_frames", None, "Maximum frames of a video; 32 if not given."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size",
    64,
    "Texts, pictures or frames per batch (on a CPU, at most 16 pictures, which is "
    "faster).",
)
_SHARD_INDEX = flags.DEFINE_integer(
    "shard_index", 0, "Which of --num_shards parts of the work to do, from 0."
)
_NUM_SHARDS = flags.DEFINE_integer(
    "num_shards", 1, "Parts that the work is split into; --merge joins them."
)
_MERGE = flags.DEFINE_bool("merge", False, "Make the store from the finished shards.")
_ENGINE = flags.DEFINE_enum(
    "engine",
    "local",
    ENGINES,
    "What encodes: this process, or the workers of a Ray cluster, which see the same "
    "files under the same paths.",
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "Address of the Ray cluster of --engine=ray, as for ray.init. If not given: that "
    "of RAY_ADDRESS or of this machine, or a new one for this command.",
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "skip",
    ON_ERROR,
    "What to do about a file that cannot be read: skip and report it, or fail.",
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    None,
    "Processes that decode pictures and videos; by default one per core, or just one "
    "for little work. 0 decodes in this process, where nothing ends a decoder that "
    "hangs.",
)
_SECONDS_PER_FILE = flags.DEFINE_float(
    "seconds_per_file",
    SECONDS_PER_FILE,
    "Seconds that a decoder may take for one file before it is ended and the file is "
    "skipped.",
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    MAX_PIXELS,
    "Maximum pixels of a decoded picture. Larger JPEG and JPEG 2000 files are decoded "
    "at a half, a quarter or less of each side; others are skipped.",
)
_DTYPE = flags.DEFINE_enum("dtype", "float16", DTYPES, "Float type of the store.")
_DATASET_NAME = flags.DEFINE_string(
    "dataset_name", None, "Name of the data set; the list's folder if not given."
)
flags.adopt_module_key_flags(clip_flags)

# What --merge does not do, so that it would be ignored.
_NOT_FOR_MERGE = (_SHARD_INDEX, _NUM_SHARDS, _NUM_WORKERS, clip_flags.DEVICE) + (
    _SECONDS_PER_FILE,
    _MAX_PIXELS,
)


def main() -> None:
    """Reads the flags and extracts, or merges."""
    start = time.perf_counter()
    museums, root = Path(_MUSEUMS.value), _INPUT_ROOT.value
    sources = Sources(
        museums=museums,
        output=Path(_OUTPUT.value),
        input_root=None if root is None else Path(root),
    )
    form = StoreForm(
        dataset_name=_DATASET_NAME.value or museums.resolve().parent.name,
        dtype=_DTYPE.value,
    )
    preset = clip_flags.given_preset()
    on_error: Any = _ON_ERROR.value
    engine: Any = _ENGINE.value
    share = Share(
        index=_SHARD_INDEX.value,
        shards=_NUM_SHARDS.value,
        num_workers=_NUM_WORKERS.value,
        on_error=on_error,
        seconds_per_file=_SECONDS_PER_FILE.value,
        max_pixels=_MAX_PIXELS.value,
        engine=engine,
        ray_address=_RAY_ADDRESS.value,
    )
    if _MERGE.value:
        for flag in _NOT_FOR_MERGE:
            if flag.present:
                raise ValueError(f"--{flag.name} is for extracting, found --merge")
        manifest = merge(sources, preset.clip, _settings(preset), share, form)
    else:
        manifest = extract(
            sources,
            preset.clip,
            _settings(preset),
            share,
            form,
            device=clip_flags.DEVICE.value,
        )
    if manifest is not None:
        seconds = time.perf_counter() - start
        line = summary_line(manifest)
        print(f"{sources.output}: {line}; extracted in {seconds:.1f} s")


def _settings(preset: Preset) -> FeatureSettings:
    def given(flag: flags.FlagHolder, otherwise: Any) -> Any:
        return otherwise if flag.value is None else flag.value

    split = preset.text_split
    if _TEXT_STRIDE.value is not None and _TEXT_SPLIT_STRATEGY.value != "max_len":
        raise ValueError(
            "--text_stride is for --text_split_strategy=max_len, found "
            f"--text_split_strategy={given(_TEXT_SPLIT_STRATEGY, split.strategy)}"
        )
    return FeatureSettings(
        text_split=TextSplit(
            given(_TEXT_SPLIT_STRATEGY, split.strategy),
            given(_TEXT_STRIDE, split.stride),
            clip_flags.LANGUAGE.value,
        ),
        video_pooling=given(_VIDEO_POOLING, preset.video_pooling),
        frames_per_second=given(_FRAMES_PER_SECOND, preset.frames_per_second),
        max_frames=given(_MAX_FRAMES, preset.max_frames),
        batch_size=_BATCH_SIZE.value,
    )


if __name__ == "__main__":
    frame.run(main)
