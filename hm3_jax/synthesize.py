"""Generates a museum set with themes, for trying things out and for measurements.

  python -m hm3_jax.synthesize --output=STORE --museums=2000

The features come from a small space of concepts that words and pictures share; the
descriptions are English sentences about these concepts. The store's manifest says that
it is synthetic. The same flags give the same bytes on the same machine.
"""

from __future__ import annotations

import time

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.data.summary import summary_line
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig

_DEFAULT = SyntheticConfig(museums=10)

_OUTPUT = path_flags.define_path(
    "output", None, "Store to make; must not exist.", required=True
)
_MUSEUMS = flags.DEFINE_integer(
    "museums",
    None,
    "Number of museums: 70 % train, 10 % val, 20 % test.",
    required=True,
)
_SEED = flags.DEFINE_integer("seed", _DEFAULT.seed, "Seed of the museums.")
_CONCEPT_SEED = flags.DEFINE_integer(
    "concept_seed",
    _DEFAULT.concept_seed,
    "Seed of the concept space; a model works on sets from the space that it was "
    "trained in.",
)
_ROOMS = flags.DEFINE_float("rooms", _DEFAULT.rooms, "Mean rooms per museum.")
_VIEWS = flags.DEFINE_integer("views", _DEFAULT.views, "Views per room.")
_SENTENCES = flags.DEFINE_float(
    "sentences", _DEFAULT.sentences, "Mean sentences per museum."
)
_CLIPS = flags.DEFINE_float("clips", _DEFAULT.clips, "Mean clips per room.")
_IMAGES = flags.DEFINE_integer("images", _DEFAULT.images, "Maximum images per room.")
_FEATURE_SIZE = flags.DEFINE_integer(
    "feature_size", _DEFAULT.feature_size, "Size of a feature."
)
_NOISE = flags.DEFINE_float(
    "noise", _DEFAULT.noise, "Noise in a view, relative to 1 for what it shows."
)


def main() -> None:
    """Makes the museum set that the flags describe and says what it is."""
    start = time.perf_counter()
    config = SyntheticConfig(
        museums=_MUSEUMS.value,
        seed=_SEED.value,
        concept_seed=_CONCEPT_SEED.value,
        rooms=_ROOMS.value,
        views=_VIEWS.value,
        sentences=_SENTENCES.value,
        clips=_CLIPS.value,
        images=_IMAGES.value,
        feature_size=_FEATURE_SIZE.value,
        noise=_NOISE.value,
    )
    manifest = synthesize(_OUTPUT.value, config)
    seconds = time.perf_counter() - start
    print(f"{_OUTPUT.value}: {summary_line(manifest)}; generated in {seconds:.1f} s")


if __name__ == "__main__":
    frame.run(main)
