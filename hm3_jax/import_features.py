"""Imports other people's feature files into a feature store.

  python -m hm3_jax.import_features --source=hm3 --input=DIR --feature_set=NAME
      --museums=DIR/museums.json --output=STORE
  python -m hm3_jax.import_features --source=museums3k --input=DIR --output=STORE
  python -m hm3_jax.import_features --source=apartments --input=DIR --output=STORE
  python -m hm3_jax.import_features --source=tfds --input=DATA_DIR/NAME --output=STORE

The reader of pickles rebuilds tensors and runs nothing. Only --museums_package runs
code of the data set: it imports its utils.py.
"""

from __future__ import annotations

import time
from pathlib import Path

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.data.importers.apartments import read_apartments
from hm3_jax.data.importers.common import ImportedSet, ModelFacts
from hm3_jax.data.importers.hm3 import VIDEO_POOLINGS, read_hm3
from hm3_jax.data.importers.museum_list import read_museum_json, read_museum_package
from hm3_jax.data.importers.museums3k import read_museums3k
from hm3_jax.data.progress_lines import ProgressLines
from hm3_jax.data.store import write_store
from hm3_jax.data.store_format import DTYPES, Manifest
from hm3_jax.data.summary import summary_line
from hm3_jax.data.tfds_find import find_published
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.files.durable import refuse_existing

_SOURCE = flags.DEFINE_enum(
    "source",
    None,
    ["hm3", "museums3k", "apartments", "tfds"],
    "Layout of the files: hm3 (a folder with featureSets/NAME.json, as for "
    "genMuseums), museums3k, apartments (AdOCTeRA, FArMARe), tfds (what "
    "export_features made).",
    required=True,
)
_INPUT = path_flags.define_path(
    "input",
    None,
    "Folder of the files; tfds: PATH_OR_NAME[:VERSION] of the data set.",
    required=True,
)
_OUTPUT = path_flags.define_path(
    "output", None, "Store to make; must not exist.", required=True
)
_DTYPE = flags.DEFINE_enum("dtype", "float16", DTYPES, "Float type of the store.")
_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Model that made the features, by its name in open_clip (such as ViT-B-32); "
    "overrides the source.",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained",
    None,
    "Weights that made the features (such as laion2b_s34b_b79k); overrides the source.",
)
_FEATURE_SET = flags.DEFINE_string(
    "feature_set", None, "hm3: NAME of featureSets/NAME.json."
)
_MUSEUMS = path_flags.define_path(
    "museums",
    None,
    "hm3: museums.json with splits, artworks by room, sentences and their rooms.",
)
_MUSEUMS_PACKAGE = path_flags.define_path(
    "museums_package",
    None,
    "hm3: instead of --museums, the data set's repository, a folder whose utils.py "
    "offers getMuseumList, getMuseumArtWorksPerRoom, loadDesc and "
    "flattenDescriptionList. THIS RUNS THAT CODE: give only a folder you trust.",
)
_VIDEO_POOLING = flags.DEFINE_enum(
    "video_pooling",
    None,
    VIDEO_POOLINGS,
    "hm3: how to pool videos with one feature per frame; mean if not given. The "
    "published code used first_frame.",
)
_APARTMENTS_MODEL = flags.DEFINE_string(
    "apartments_model",
    None,
    "apartments: MODEL of images_MODEL and descriptions_MODEL, if there are several.",
)

# Flags that mean something to one source only.
_OWN_FLAGS = {
    "hm3": (_FEATURE_SET, _MUSEUMS, _MUSEUMS_PACKAGE, _VIDEO_POOLING),
    "apartments": (_APARTMENTS_MODEL,),
}


def main() -> None:
    """Imports what the flags name and says what it was."""
    start = time.perf_counter()
    frame.refuse_flags_of_others(_SOURCE, _OWN_FLAGS)
    output = Path(_OUTPUT.value)
    refuse_existing(output, "a store")
    manifest = _unpack(output) if _SOURCE.value == "tfds" else _import(output)
    seconds = time.perf_counter() - start
    print(f"{output}: {summary_line(manifest)}; imported in {seconds:.1f} s")


def _unpack(output: Path) -> Manifest:
    for flag in (_DTYPE, _MODEL, _PRETRAINED):
        if flag.present:
            raise ValueError(
                f"--{flag.name} is for other sources, found --source=tfds, which makes "
                "the store that was published"
            )
    published = find_published(_INPUT.value)
    return unpack(published, output, watch=ProgressLines("imported"))


def _import(output: Path) -> Manifest:
    imported = _read()
    manifest = write_store(
        output,
        imported.museums,
        dataset_name=imported.dataset_name,
        facts=imported.facts,
        artworks=imported.artworks,
        dtype=_DTYPE.value,
        origin=imported.origin,
        source=_INPUT.value,
    )
    for note in imported.notes:
        print(f"note: {note}")
    return manifest


def _read() -> ImportedSet:
    folder = Path(_INPUT.value)
    model = ModelFacts(_MODEL.value, _PRETRAINED.value)
    if _SOURCE.value == "museums3k":
        return read_museums3k(folder, model=model)
    if _SOURCE.value == "apartments":
        return read_apartments(folder, _APARTMENTS_MODEL.value, model=model)
    if _FEATURE_SET.value is None:
        raise ValueError("--source=hm3 needs --feature_set=NAME, found none")
    museums, package = _MUSEUMS.value, _MUSEUMS_PACKAGE.value
    if (museums is None) == (package is None):
        found = "neither" if museums is None else "both"
        raise ValueError(
            f"--source=hm3 needs one of --museums and --museums_package, found {found}"
        )
    if museums is not None:
        museum_list = read_museum_json(Path(museums))
    else:
        assert package is not None
        museum_list = read_museum_package(Path(package))
    return read_hm3(
        folder,
        _FEATURE_SET.value,
        museum_list,
        video_pooling=_VIDEO_POOLING.value or "mean",
        model=model,
    )


if __name__ == "__main__":
    frame.run(main)
