r"""Publishes a feature store in another form: as a TFDS data set.

  python -m hm3_jax.export_features --to=tfds --features=STORE --output=DATA_DIR

writes DATA_DIR/NAME/VERSION, ArrayRecord files that TensorFlow Datasets reads without
TensorFlow:

  builder = tfds.builder_from_directory("DATA_DIR/NAME/VERSION")
  museums = builder.as_data_source("train")

Commands read it with --features=tfds:DATA_DIR/NAME, and import_features turns it back
into a store with --source=tfds.
"""

from __future__ import annotations

import time

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.data.open_features import FEATURES_HELP, open_features
from hm3_jax.data.progress_lines import ProgressLines
from hm3_jax.data.summary import summary_line
from hm3_jax.data.tfds_format import Publication
from hm3_jax.data.tfds_writer import publish_store

_DEFAULT = Publication()

_TO = flags.DEFINE_enum("to", None, ["tfds"], "Form to publish in.", required=True)
_FEATURES = path_flags.define_path("features", None, FEATURES_HELP, required=True)
_OUTPUT = path_flags.define_path(
    "output",
    None,
    "TFDS's data_dir, made if it does not exist; this version must not be in it.",
    required=True,
)
_NAME = flags.DEFINE_string(
    "name", _DEFAULT.name, "Name in TFDS; made from the store's if not given."
)
_VERSION = flags.DEFINE_string(
    "version", _DEFAULT.version, "Version, MAJOR.MINOR.PATCH."
)
_DESCRIPTION = flags.DEFINE_string(
    "description",
    _DEFAULT.description,
    "Description of the data set; made from the store's manifest if not given.",
)
_CITATION = flags.DEFINE_string(
    "citation", _DEFAULT.citation, "How to cite it, in BibTeX."
)
_HOMEPAGE = flags.DEFINE_string(
    "homepage", _DEFAULT.homepage, "Address of the data set's page."
)
_LICENSE = flags.DEFINE_string(
    "license", _DEFAULT.license, "Under what terms others may use it."
)


def main() -> None:
    """Publishes the store that the flags name and says where."""
    start = time.perf_counter()
    publication = Publication(
        name=_NAME.value,
        version=_VERSION.value,
        description=_DESCRIPTION.value,
        citation=_CITATION.value,
        homepage=_HOMEPAGE.value,
        license=_LICENSE.value,
    )
    store = open_features(_FEATURES.value)
    folder = publish_store(
        store, _OUTPUT.value, publication, watch=ProgressLines("published")
    )
    seconds = time.perf_counter() - start
    print(f"{folder}: {summary_line(store.manifest)}; published in {seconds:.1f} s")


if __name__ == "__main__":
    frame.run(main)
