"""Flags about Qdrant: what `build_index`, `search` and `serve` share."""

from absl import flags

from hm3_jax.cli import path_flags
from hm3_jax.retrieval.engine.connection import (
    DEFAULT_CANDIDATES,
    DEFAULT_COLLECTION,
    Engine,
)

URI = path_flags.define_path(
    "uri",
    None,
    "Qdrant, for museums beyond one machine: http://HOST:6333, or a folder for its "
    "embedded mode.",
)
TOKEN = flags.DEFINE_string("token", "", "API key, for Qdrant.")
COLLECTION = flags.DEFINE_string(
    "collection",
    DEFAULT_COLLECTION,
    "Prefix of the names of collections in Qdrant.",
)

CANDIDATES = flags.DEFINE_integer(
    "candidates",
    DEFAULT_CANDIDATES,
    "Museums of many vectors that are compared exactly for a query: those that Qdrant "
    "ranks first.",
    1,
)


def given_engine() -> Engine | None:
    """Where Qdrant is, or None where no flag says so.

    Raises:
        ValueError: If flags contradict each other, or one is not valid.
    """
    if URI.value is None:
        for flag in (TOKEN, COLLECTION, CANDIDATES):
            if flag.present:
                raise ValueError(f"--{flag.name} is for --uri, found none")
        return None
    return Engine(URI.value, TOKEN.value, COLLECTION.value, CANDIDATES.value)
