"""Compresses videos for extraction, as was done for the published features.

  python -m hm3_jax.compress_video --input_root=SemArtVideoArtGen/videos
      --output_root=SemArtVideoArtGen/compressed_videos

Every file below --input_root gets one of the same name below --output_root: H.264, a
short side of 224 pixels in the displayed shape, 3 frames per second, no sound. Files
that cannot be compressed are copied and named. Existing files are left alone, so the
same command continues after an interruption.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.extraction.compress_tree import (
    SECONDS_PER_FILE,
    CompressionReport,
    compress_tree,
)

_INPUT_ROOT = path_flags.define_path(
    "input_root", None, "Folder of the videos.", required=True
)
_OUTPUT_ROOT = path_flags.define_path(
    "output_root", None, "Folder for the compressed videos; may exist.", required=True
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    None,
    "Processes, each of which compresses one video at a time; by default one per core.",
    lower_bound=0,
)
_SECONDS_PER_FILE = flags.DEFINE_float(
    "seconds_per_file",
    SECONDS_PER_FILE,
    "Seconds that a process may take for one video before it is ended and the video is "
    "copied.",
    lower_bound=0,
)

_MOST_NAMED = 20


def main() -> None:
    """Compresses what the flags name and says what became of it."""
    start = time.perf_counter()
    output = Path(_OUTPUT_ROOT.value)
    report = compress_tree(
        Path(_INPUT_ROOT.value),
        output,
        workers=_NUM_WORKERS.value,
        seconds_per_file=_SECONDS_PER_FILE.value,
        say=_say,
    )
    for name, reason in list(report.copied.items())[:_MOST_NAMED]:
        print(f"copied as it is: {name}: {reason}")
    if len(report.copied) > _MOST_NAMED:
        print(f"copied as they are: {len(report.copied) - _MOST_NAMED} more")
    print(f"{output}: {_summary(report)}; {time.perf_counter() - start:.1f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _summary(report: CompressionReport) -> str:
    before, after = report.bytes_before / 1e6, report.bytes_after / 1e6
    return (
        f"{report.compressed} compressed ({before:,.1f} MB became {after:,.1f} MB), "
        f"{len(report.copied)} copied, {report.there_already} there already"
    )


if __name__ == "__main__":
    frame.run(main)
