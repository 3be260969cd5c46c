"""Generates museum sets with themes, for trying things out and for measurements.

What they hold is planned in `synthetic_plan`, worded in `synthetic_text`, and turned
into features in the space of `concepts`: a sentence's feature is made from its words
alone, a view's, clip's or painting's from the concepts it shows, plus noise.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator

import numpy as np

from hm3_jax.data.concepts import (
    THEMES,
    ConceptEncoder,
    ConceptSpace,
    placed,
    unit,
)
from hm3_jax.data.museum import UNKNOWN_ROOM, ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import Manifest, write_store
from hm3_jax.data.synthetic_plan import SyntheticConfig, SyntheticPlan, plan_museums
from hm3_jax.data.synthetic_text import describe

# Museums, or artworks by the thousand, that are made at a time.
_MUSEUMS, _ARTWORKS = 256, 4096

# How much a view shows of the museum's theme, beside 1 for a concept.
_THEME = 0.3
# How much all views of a museum, and all of a room, share of what has nothing to do
# with the description: the building, the light.
_BUILDING, _LIGHT = 1.0, 0.7
# Share of a room's concepts that a single view shows, and the spread of how much.
_SHOWN, _SPREAD = 0.7, 0.5
# A clip shows more than one view: its noise beside a view's.
_CLIP_NOISE = 0.6

# One stream of random numbers for each thing that is made.
_WORDING, _VIEWS, _CLIPS, _PAINTINGS = 1, 2, 3, 4


def synthesize(path: str | os.PathLike[str], config: SyntheticConfig) -> Manifest:
    """Generates a museum set and writes it as a store labelled synthetic.

    The same configuration gives the same bytes on the same machine.

    Args:
        path: Folder to make; must not exist.
        config: Size and seeds.

    Returns:
        The store's manifest.

    Raises:
        FileExistsError: If `path` exists.
    """
    space = ConceptSpace(config.concept_seed, config.feature_size)
    maker = _Maker(config, space)
    artworks = maker.artworks()
    facts = {"sentences": space.facts("words", "sum over words")}
    for kind in ("views", *artworks):
        facts[kind] = space.facts("pictures", "sum over concepts")
    return write_store(
        path,
        maker.museums(),
        dataset_name="synthetic",
        facts=facts,
        artworks=artworks,
        kind="synthetic",
        origin={"source": "synthesize", **dataclasses.asdict(config)},
    )


class _Maker:
    """Makes the features and sentences of one plan."""

    def __init__(self, config: SyntheticConfig, space: ConceptSpace):
        self._config = config
        self._plan: SyntheticPlan = plan_museums(config, space)
        self._clip_offsets = np.concatenate([[0], np.cumsum(self._plan.clips)])
        self._words = tuple(space.index)
        self._encoder = ConceptEncoder(space)
        self._pictures = space.in_pictures()
        self._gap = space.gap("pictures")
        self._nuisances = space.nuisances()
        first_theme = space.index[THEMES[0]]
        room_themes = np.repeat(self._plan.themes, np.diff(self._plan.room_offsets))
        # What a room may show: its concepts and, last, its theme.
        self._shown = np.column_stack([self._plan.concepts, first_theme + room_themes])

    def artworks(self) -> dict[str, ArtworkTable]:
        """Tables of the paintings and the clips, as far as there are any."""
        plan = self._plan
        clips = np.repeat(np.arange(len(plan.clips)), plan.clips)
        tables = {
            "images": self._table("painting", plan.painting_concepts, _PAINTINGS),
            "videos": self._table("clip", self._shown[clips], _CLIPS),
        }
        return {kind: table for kind, table in tables.items() if table.ids}

    def museums(self) -> Iterator[MuseumRecord]:
        """The museums, some at a time in memory."""
        museums = len(self._plan.splits)
        for start in range(0, museums, _MUSEUMS):
            yield from self._some_museums(start, min(start + _MUSEUMS, museums))

    def _some_museums(self, start: int, stop: int) -> Iterator[MuseumRecord]:
        plan, views = self._plan, self._config.views
        texts = self._describe(start, stop)
        sentences = self._encoder.encode(list(itertools.chain(*texts)))
        ends = np.cumsum([len(text) for text in texts])[:-1]
        first_room, last_room = plan.room_offsets[[start, stop]]
        rng = self._rng(_VIEWS, start)
        rooms = self._pictures_of(
            np.repeat(self._shown[first_room:last_room], views, axis=0),
            self._config.noise,
            rng,
            np.repeat(self._surroundings(start, stop, rng), views, axis=0),
        ).reshape(-1, views, self._config.feature_size)
        for i, text, features in zip(
            range(start, stop), texts, np.split(sentences, ends), strict=True
        ):
            yield MuseumRecord(
                id=f"museum{i:05d}",
                split=str(plan.splits[i]),
                theme=THEMES[plan.themes[i]],
                sentences=features,
                rooms=tuple(
                    self._room(room, rooms[room - first_room])
                    for room in range(*plan.room_offsets[i : i + 2])
                ),
                sentence_texts=tuple(text),
                sentence_rooms=self._sentence_rooms(i),
            )

    def _sentence_rooms(self, museum: int) -> tuple[int, ...]:
        """The first sentence is about all rooms, see `describe`."""
        counts = self._plan.sentences[
            slice(*self._plan.room_offsets[museum : museum + 2])
        ]
        return (UNKNOWN_ROOM, *np.repeat(np.arange(len(counts)), counts).tolist())

    def _room(self, room: int, views: np.ndarray) -> RoomRecord:
        plan = self._plan
        paintings = plan.paintings[slice(*plan.painting_offsets[room : room + 2])]
        clips = range(*self._clip_offsets[room : room + 2])
        return RoomRecord(
            views,
            images=tuple(_name("painting", number) for number in paintings),
            videos=tuple(_name("clip", number) for number in clips),
        )

    def _surroundings(
        self, start: int, stop: int, rng: np.random.Generator
    ) -> np.ndarray:
        """(rooms, size) what the views of each room show beside its concepts."""
        rooms = np.diff(self._plan.room_offsets[start : stop + 1])
        shape = (stop - start, len(self._nuisances))
        building = np.repeat(rng.standard_normal(shape, np.float32), rooms, axis=0)
        light = rng.standard_normal(building.shape, np.float32)
        weights = (_BUILDING * building + _LIGHT * light) / np.sqrt(shape[1])
        surroundings = np.zeros((len(building), self._config.feature_size), np.float32)
        for column, nuisance in enumerate(self._nuisances):
            surroundings += weights[:, column, None].astype(np.float32) * nuisance
        return surroundings

    def _describe(self, start: int, stop: int) -> list[list[str]]:
        plan, rng = self._plan, self._rng(_WORDING, start)
        texts = []
        for i in range(start, stop):
            rooms = slice(*plan.room_offsets[i : i + 2])
            words = [[self._words[c] for c in room] for room in plan.concepts[rooms]]
            counts = plan.sentences[rooms].tolist()
            texts.append(describe(THEMES[plan.themes[i]], words, counts, rng))
        return texts

    def _table(self, name: str, shown: np.ndarray, stream: int) -> ArtworkTable:
        """Artworks that show the concepts in the rows of `shown`."""
        noise = self._config.noise * (_CLIP_NOISE if stream == _CLIPS else 1)
        features = np.empty((len(shown), self._config.feature_size), np.float16)
        for start in range(0, len(shown), _ARTWORKS):
            some = slice(start, start + _ARTWORKS)
            features[some] = self._pictures_of(
                shown[some], noise, self._rng(stream, start)
            )
        names = tuple(_name(name, number) for number in range(len(shown)))
        return ArtworkTable(names, features)

    def _pictures_of(
        self,
        shown: np.ndarray,
        noise: float,
        rng: np.random.Generator,
        surroundings: np.ndarray | None = None,
    ) -> np.ndarray:
        """(pictures, size) features of pictures of the concepts in `shown`'s rows.

        Of many concepts a picture shows a part, some more than others; the last one of
        a room is the theme, which is always there, faintly.
        """
        pictures, concepts = shown.shape
        weights = np.exp(_SPREAD * rng.standard_normal(shown.shape, np.float32))
        if concepts == self._shown.shape[1]:
            weights *= rng.random(shown.shape, np.float32) < _SHOWN
            weights[:, -1] = _THEME
        contents = np.zeros((pictures, self._config.feature_size), np.float32)
        # Concept by concept: no matrix product, whose sums depend on the machine.
        for column in range(concepts):
            contents += weights[:, column, None] * self._pictures[shown[:, column]]
        contents = unit(contents)
        if surroundings is not None:
            contents += surroundings
        scale = np.float32(noise / np.sqrt(self._config.feature_size))
        contents += scale * rng.standard_normal(contents.shape, np.float32)
        return placed(contents, self._gap)

    def _rng(self, stream: int, start: int) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, stream, start])


def _name(artwork: str, number: int) -> str:
    return f"{artwork}{number:06d}"
