"""The finished store that an extraction adds to: what it has need not be encoded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.museum_jsonl import MuseumFiles
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.store_content import check_content
from hm3_jax.data.verify import verify_store
from hm3_jax.extraction.chunks import KINDS
from hm3_jax.extraction.encode import Known
from hm3_jax.extraction.plan import Plan
from hm3_jax.extraction.report import PLAN, REPORT
from hm3_jax.extraction.run_facts import store_facts, store_origin
from hm3_jax.extraction.settings import FeatureSettings, StoreForm
from hm3_jax.files.differences import differences
from hm3_jax.files.json_files import read_object
from hm3_jax.files.words import counted

# Where an artwork's item is among.
_ITEMS = {"images": "pictures", "videos": "videos"}


@dataclasses.dataclass(frozen=True, slots=True)
class FormerStore:
    """A store of an earlier extraction.

    Attributes:
        store: The store.
        plan: What it holds, museum by museum.
        report: What was left out of it.
    """

    store: FeatureStore
    plan: Plan
    report: Mapping[str, Any]

    @classmethod
    def open(
        cls,
        output: Path,
        files: MuseumFiles,
        facts: Mapping[str, Any],
        settings: FeatureSettings,
        form: StoreForm,
        *,
        may_drop: bool = False,
    ) -> FormerStore:
        """Opens a store to add to it.

        Args:
            output: The store.
            files: The list of what it is to hold.
            facts: Those of list, settings and model that an extraction begins with.
            settings: What else decides features.
            form: What it is to be like.
            may_drop: Whether museums that are not in the list go.

        Raises:
            FileExistsError: It was made otherwise, by something else, or holds museums
                that are not in the list and may not go.
            ValueError: It is damaged.
        """
        store = open_store(output)
        check_content(output, store.manifest)
        other = next(_unlike(store, facts, settings, form), None)
        if other is not None:
            name, before, now = other
            raise FileExistsError(
                f"{output}: expected no store or one to add to, found a store with "
                f"another {name} ({before!r}, not {now!r}): name another --output"
            )
        if PLAN not in store.manifest.files:
            raise FileExistsError(
                f"{output}: expected no store or one to add to, found one that does "
                "not say which files it holds: name another --output"
            )
        listed = {museum.id for museum in files.museums}
        gone = [museum for museum in store.ids if museum not in listed]
        if gone and not may_drop:
            raise FileExistsError(
                f"{output}: expected no store or one to add to, found one of "
                f"{counted(len(gone), 'museum')} not in {files.source}, such as "
                f"{gone[0]!r}: name another --output"
            )
        return cls(
            store,
            Plan.from_json((output / PLAN).read_bytes(), output / PLAN),
            read_object(output / REPORT, ("skipped", "damaged")),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What tells it from other stores, for the record of the extraction."""
        origin = self.store.manifest.origin
        return {"extraction": origin["extraction"], "devices": origin["devices"]}

    def has_all_of(self, facts: Mapping[str, Any]) -> bool:
        """Whether nothing of the list with these facts is missing."""
        origin = self.store.manifest.origin
        same = all(
            origin[name] == facts[name]
            for name in ("museums_sha256", "artworks_sha256")
        )
        return same and not self.report["skipped"] and not self.report["damaged"]

    def known(self, plan: Plan) -> dict[str, Known]:
        """Features that a plan's items have here, by kind and number.

        Raises:
            ValueError: The store is damaged, whose bytes would get new checksums.
        """
        faults = verify_store(self.store.path)
        if faults:
            raise ValueError(f"{self.store.path}: {faults[0]}")
        damaged = {(entry["kind"], entry["item"]) for entry in self.report["damaged"]}
        rows: dict[str, dict[Any, np.ndarray]] = {kind: {} for kind in KINDS}
        for kind, item, row in self._rows():
            if (kind, item) not in damaged:
                rows[kind].setdefault(item, row)
        return {
            kind: {
                number: rows[kind][item]
                for number, item in enumerate(plan.items(kind))
                if item in rows[kind]
            }
            for kind in KINDS
        }

    def _rows(self) -> Iterator[tuple[str, Any, np.ndarray]]:
        """Kind, item and feature of all that the store holds."""
        store, plan = self.store, self.plan
        for number, museum in enumerate(plan.museums):
            for text, row in zip(museum.texts, store.sentences[number], strict=True):
                yield "texts", plan.texts[text], row
            first = store.room_offsets[number]
            for place, room in enumerate(museum.rooms, first):
                for view, row in zip(room.views, store.views[place], strict=True):
                    yield "pictures", plan.pictures[view], row
        for kind, of in _ITEMS.items():
            artworks = store.artworks(kind)
            if artworks is not None:
                for name, row in zip(artworks.ids, artworks.table, strict=True):
                    yield of, plan.items(of)[plan.artworks[kind][name]], row


def _unlike(
    store: FeatureStore,
    facts: Mapping[str, Any],
    settings: FeatureSettings,
    form: StoreForm,
) -> Iterator[tuple[str, Any, Any]]:
    """What a store has otherwise than it would be made now: name, value, value."""
    manifest = store.manifest
    now = {
        kind: dataclasses.asdict(of)
        for kind, of in store_facts(facts["model"], settings).items()
        if kind in manifest.features
    }
    before = {kind: dataclasses.asdict(of) for kind, of in manifest.features.items()}
    yield from differences(before, json.loads(json.dumps(now)), given=True)
    origin = json.loads(json.dumps(store_origin(facts)))
    for name in ("museums_sha256", "artworks_sha256"):
        del origin[name]
    yield from differences(manifest.origin, origin, given=True)
    yield from differences(
        dataclasses.asdict(manifest), dataclasses.asdict(form), given=True
    )
