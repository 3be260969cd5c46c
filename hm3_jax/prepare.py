"""Turns raw data into a museum list, from which extract makes features.

  python -m hm3_jax.prepare --source=folder --input=MY_MUSEUMS --output=LIST
  python -m hm3_jax.prepare --source=genmuseums --input=generatedDigitalExps
      --semart=SemArt --videos=SemArtVideoArtGen/videos --output=LIST
  python -m hm3_jax.prepare --source=semart --input=SemArt --output=LIST
  python -m hm3_jax.prepare --source=museums3k --input=museums3k
      --pictures=screenshots --output=LIST

folder reads MUSEUM/ROOM/*.jpg, with a description.txt in museums or rooms, also below
folders of themes and splits; docs/museum_list.md says what else the folder may contain,
and describes the list.
genmuseums RUNS utils.py of the --input folder: give only a folder you trust.

LIST gets museums.jsonl and, if there are artworks, artworks.jsonl. Pictures and videos
stay where they are; the last line says how to extract their features.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.data.museum_jsonl import MUSEUMS, write_museum_files
from hm3_jax.data.raw_sources.common import RawSet
from hm3_jax.data.raw_sources.folder import read_folder
from hm3_jax.data.raw_sources.genmuseums import read_genmuseums
from hm3_jax.data.raw_sources.museums3k import read_museums3k_raw
from hm3_jax.data.raw_sources.semart import read_semart
from hm3_jax.files.durable import refuse_existing

_SOURCE = flags.DEFINE_enum(
    "source",
    None,
    ["genmuseums", "semart", "museums3k", "folder"],
    "Layout of the data: a published data set's, or a plain folder tree.",
    required=True,
)
_INPUT = path_flags.define_path("input", None, "Folder of the data.", required=True)
_OUTPUT = path_flags.define_path(
    "output", None, "Folder to make for the list; must not exist.", required=True
)
_INPUT_ROOT = path_flags.define_path(
    "input_root",
    None,
    "Folder that the list's paths are relative to and must not leave; if not given, "
    "the smallest one that contains all folders given.",
)
_SEMART = path_flags.define_path(
    "semart",
    None,
    "genmuseums: SemArt's folder, with semart_train.csv and Images; without it, "
    "paintings are left out.",
)
_VIDEOS = path_flags.define_path(
    "videos",
    None,
    "genmuseums: folder of the video files, as published or as compress_video made "
    "it; without it, videos are left out.",
)
_PICTURES = path_flags.define_path(
    "pictures",
    None,
    "museums3k: folder with a folder of screenshots for each museum.",
)

# Flags that mean something to one source only.
_OWN_FLAGS = {"genmuseums": (_SEMART, _VIDEOS), "museums3k": (_PICTURES,)}


def main() -> None:
    """Makes the list that the flags ask for and says what is in it."""
    start = time.perf_counter()
    frame.refuse_flags_of_others(_SOURCE, _OWN_FLAGS)
    output = Path(_OUTPUT.value)
    refuse_existing(output, "a museum list")
    raw = _read()
    if not raw.museums:
        reasons = "".join(f"; {note}" for note in raw.notes)
        raise ValueError(
            f"{_INPUT.value}: expected at least one museum, found none{reasons}"
        )
    write_museum_files(output, raw.museums, raw.artworks)
    for note in raw.notes:
        print(f"note: {note}")
    seconds = time.perf_counter() - start
    print(f"{output}: {raw.summary()}; prepared in {seconds:.1f} s")
    preset = "museums3k" if _SOURCE.value == "museums3k" else "hm3"
    command = ["python", "-m", "hm3_jax.extract", f"--museums={output / MUSEUMS}"]
    command += [f"--input_root={raw.root}", f"--preset={preset}"]
    print(f"next: {shlex.join(command)} --output=STORE")


def _read() -> RawSet:
    folder = Path(_INPUT.value)
    root = _path(_INPUT_ROOT.value)
    if _SOURCE.value == "folder":
        return read_folder(folder, root=root)
    if _SOURCE.value == "semart":
        return read_semart(folder, root=root)
    if _SOURCE.value == "museums3k":
        if _PICTURES.value is None:
            raise ValueError("--source=museums3k needs --pictures=DIR, found none")
        return read_museums3k_raw(folder, pictures=Path(_PICTURES.value), root=root)
    return read_genmuseums(
        folder, semart=_path(_SEMART.value), videos=_path(_VIDEOS.value), root=root
    )


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)


if __name__ == "__main__":
    frame.run(main)
