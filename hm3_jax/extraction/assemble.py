"""Puts finished chunks together into a store."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hm3_jax.data.museum import ARTWORK_KINDS, ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts, Manifest, write_store
from hm3_jax.extraction.chunks import KINDS, Chunk, load_chunk
from hm3_jax.extraction.plan import Plan
from hm3_jax.extraction.report import (
    PLAN,
    REPORT,
    Kept,
    extraction_report,
    keep,
    report_text,
)
from hm3_jax.extraction.settings import StoreForm
from hm3_jax.extraction.work_folder import WorkFolder
from hm3_jax.files.arrays import new_array
from hm3_jax.files.durable import write_whole

# Which items the artworks of a kind are.
_ITEMS = {"images": "pictures", "videos": "videos"}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """All chunks of a kind.

    Attributes:
        features: (items, d) float32; rows of items that failed mean nothing.
        failures: Why items have no feature, by number.
        cut: By how many tokens texts were too long, by number.
        devices: What computed the features.
        damages: What is wrong with items that were read in part, by number.
    """

    features: Float[np.ndarray, "items d"]
    failures: Mapping[int, str]
    cut: Mapping[int, int]
    devices: frozenset[str]
    damages: Mapping[int, str]


def assemble(
    work: WorkFolder,
    output: Path,
    chunks: Iterable[Chunk],
    form: StoreForm,
    facts: Mapping[str, FeatureFacts],
    origin: Mapping[str, Any],
    *,
    source: Path,
    complete: bool,
    former_devices: Collection[str] = (),
) -> tuple[Manifest, dict[str, Any]]:
    """Writes the store of an extraction whose chunks are all there.

    Args:
        work: The extraction's folder; removed in the end.
        output: The store to make; the extraction may have begun with one there.
        chunks: All chunks of the plan.
        form: Name and dtype of the store.
        facts: Facts of "sentences", "views", "images" and "videos".
        origin: For the manifest.
        source: The museum list, to name in messages.
        complete: Whether to refuse a work from which something was skipped.
        former_devices: What computed features that the extraction began with.

    Returns:
        The manifest and the report.

    Raises:
        FileExistsError: If `output` exists and the extraction began without.
        ValueError: If no museum is left, something was skipped that must not be, a
            chunk is damaged, or the dtype cannot hold a value.
    """
    plan = work.plan()
    by_kind = {
        kind: gather(
            work, kind, [chunk for chunk in chunks if chunk.kind == kind], plan
        )
        for kind in KINDS
    }
    failures = {kind: gathered.failures for kind, gathered in by_kind.items()}
    kept = keep(plan, failures)
    damages = {kind: gathered.damages for kind, gathered in by_kind.items()}
    report = extraction_report(plan, kept, failures, by_kind["texts"].cut, damages)
    write_whole(work.path / REPORT, report_text(report).encode())
    if complete and report["skipped"]:
        first = report["skipped"][0]
        raise ValueError(
            f"{first['item']}: {first['reason']} (skipped by an earlier run, which "
            "--on_error=fail forbids)"
        )
    if not kept.museums:
        museum, reason = next(iter(kept.museums_left_out.items()))
        raise ValueError(
            f"{source}: expected at least one museum that can be stored, found none "
            f"({museum!r}: {reason}); {work.path / REPORT} has all reasons"
        )
    tables = dict(_tables(plan, kept, by_kind))
    devices = frozenset(former_devices).union(*(g.devices for g in by_kind.values()))
    finished = work.path / "store"
    shutil.rmtree(finished, ignore_errors=True)
    manifest = write_store(
        finished,
        _records(plan, kept, by_kind, facts["sentences"].feature_size),
        dataset_name=form.dataset_name,
        facts={name: facts[name] for name in ("sentences", "views", *tables)},
        artworks=tables,
        dtype=form.dtype,
        origin={**origin, "devices": sorted(devices), "extraction": work.mark()},
        source=source,
        attachments={
            REPORT: report_text(report),
            PLAN: dataclasses.replace(plan, museums=kept.museums).to_json(),
        },
    )
    work.put_in_place(finished, output)
    work.remove()
    return manifest, report


def gather(work: WorkFolder, kind: str, chunks: list[Chunk], plan: Plan) -> Gathered:
    """Reads the chunks of a kind into an array on disk, which is mapped."""
    count = len(plan.items(kind))
    failures: dict[int, str] = {}
    cut: dict[int, int] = {}
    damages: dict[int, str] = {}
    devices: set[str] = set()
    features = np.empty((0, 0), np.float32)
    mark = work.mark()
    for chunk in chunks:
        encoded = load_chunk(work.chunks, mark, chunk)
        if not features.size:
            shape = (count, encoded.features.shape[1])
            features = new_array(work.path / f"{kind}.npy", "float32", shape)
        rows = [i for i in range(chunk.start, chunk.stop) if i not in encoded.failures]
        features[rows] = encoded.features
        failures |= encoded.failures
        cut |= encoded.cut
        damages |= encoded.damages
        devices.add(encoded.device)
    return Gathered(features, failures, cut, frozenset(devices), damages)


def _records(
    plan: Plan, kept: Kept, by_kind: Mapping[str, Gathered], size: int
) -> Iterator[MuseumRecord]:
    texts, pictures = by_kind["texts"].features, by_kind["pictures"].features
    no_text = np.empty((0, size), np.float32)
    for museum in kept.museums:
        yield MuseumRecord(
            id=museum.id,
            split=museum.split,
            theme=museum.theme,
            sentences=np.asarray(
                texts[list(museum.texts)] if museum.texts else no_text
            ),
            rooms=tuple(
                RoomRecord(
                    np.asarray(pictures[list(room.views)]), room.images, room.videos
                )
                for room in museum.rooms
            ),
            sentence_texts=tuple(plan.texts[text].text for text in museum.texts),
            sentence_rooms=museum.text_rooms,
        )


def _tables(
    plan: Plan, kept: Kept, by_kind: Mapping[str, Gathered]
) -> Iterator[tuple[str, ArtworkTable]]:
    """Tables of the artworks that hang in museums that are kept."""
    for kind in ARTWORK_KINDS:
        names = dict.fromkeys(
            name
            for museum in kept.museums
            for room in museum.rooms
            for name in room.hung(kind)
        )
        if names:
            items = [plan.artworks[kind][name] for name in names]
            features = by_kind[_ITEMS[kind]].features[items]
            yield kind, ArtworkTable(tuple(names), np.asarray(features))
