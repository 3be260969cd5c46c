"""Flags about Milvus: what `build_index`, `search` and `serve` share."""

from absl import flags

from hm3_jax.cli import path_flags
from hm3_jax.retrieval.milvus import DEFAULT_COLLECTION, Milvus

URI = path_flags.define_path(
    "uri", None, "Milvus: http://HOST:19530, or a path ending in .db for Milvus Lite."
)
TOKEN = flags.DEFINE_string("token", "", "USER:PASSWORD or API key, for Milvus.")
COLLECTION = flags.DEFINE_string(
    "collection",
    DEFAULT_COLLECTION,
    "How the name of the collection begins, in Milvus.",
)


def given_milvus(backend: str | None = None) -> Milvus | None:
    """Where Milvus is, or None where no flag says so.

    Args:
        backend: What --backend says, in an entry that has it.

    Raises:
        ValueError: If flags contradict each other; names both.
    """
    if backend == "exact":
        for flag in (URI, TOKEN, COLLECTION):
            if flag.present:
                raise ValueError(
                    f"--{flag.name} is for --backend=milvus, found --backend=exact"
                )
    if URI.value is None:
        if backend == "milvus":
            raise ValueError("--backend=milvus needs --uri, found none")
        for flag in (TOKEN, COLLECTION):
            if flag.present:
                raise ValueError(f"--{flag.name} is for --uri, found none")
        return None
    return Milvus(URI.value, TOKEN.value, COLLECTION.value)
