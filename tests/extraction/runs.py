"""Extractions as tests call for them: small batches, so that there are many chunks."""

from pathlib import Path
from typing import Any

from hm3_jax.data.store import Manifest
from hm3_jax.extraction.clip_choice import ClipChoice
from hm3_jax.extraction.run import extract, merge
from hm3_jax.extraction.settings import FeatureSettings, Share, Sources, StoreForm


def run(
    museums: Path,
    output: Path,
    clip_folder: Path,
    *,
    lines: list[str] | None = None,
    joined: bool = False,
    precision: Any = "float32",
    settings: dict[str, Any] | None = None,
    dtype: str = "float32",
    **share: Any,
) -> Manifest | None:
    """Extracts, or joins what shards have done; lines of progress go to `lines`."""
    features: dict[str, Any] = {"batch_size": 2} | (settings or {})
    part: dict[str, Any] = {"num_workers": 0} | share
    arguments = (
        Sources(museums=museums, output=output),
        ClipChoice(None, str(clip_folder), precision),
        FeatureSettings(**features),
        Share(**part),
        StoreForm(dataset_name="small", dtype=dtype),
    )
    said = [] if lines is None else lines
    if joined:
        return merge(*arguments, say=said.append)
    return extract(*arguments, device="cpu", say=said.append)


def contents(store: Path) -> dict[str, bytes]:
    """All bytes of a store."""
    return {file.name: file.read_bytes() for file in sorted(store.iterdir())}
