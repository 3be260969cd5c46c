"""What is where in a synthetic museum set, before any feature or sentence exists.

Museums of a theme draw their concepts from the theme's favourites, so that many share
some. Some museums have a sibling of the same split: either the same rooms in another
order, or the same concepts dealt out to the rooms anew. Only a model that sees order,
or rooms, can tell such siblings apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hm3_jax.data.concepts import THEMES, ConceptSpace

# Relative frequencies of the themes, as uneven as genMuseums'.
THEME_SHARES = (0.36, 0.17, 0.15, 0.09, 0.08, 0.05, 0.04, 0.03, 0.02, 0.01)

SPLIT_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}

# The group of each concept of a room. The first two are the museum's, the others the
# room's own.
SLOTS = (
    "style",
    "technique",
    "subject",
    "subject",
    "object",
    "object",
    "setting",
    "colour",
    "mood",
)
MUSEUM_SLOTS = 2

# Share of museums that are made after another one.
SIBLINGS = 0.15
# Share of concepts that are drawn with no regard to the theme.
STRAY = 0.2
# Exhibits of a theme: what its museums' rooms are variations of.
EXHIBITS = 12
# Share of an exhibit's concepts that a room changes.
VARIATION = 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """Size and seeds of a synthetic museum set.

    Attributes:
        museums: Number of museums; 70 % train, 10 % val, 20 % test.
        seed: Seed of what the museums are.
        concept_seed: Seed of the concept space; sets of one space understand each
            other's features.
        rooms: Mean number of rooms per museum; from half to one and a half of it.
        views: Views of each room.
        sentences: Mean number of sentences per museum.
        clips: Mean number of clips per room; from 0 to twice as many.
        images: Most images a room; from 0 on, paintings that other rooms may show too.
        feature_size: Size of a feature.
        noise: Length of the noise in a view, beside 1 for what it shows.
    """

    museums: int
    seed: int = 0
    concept_seed: int = 0
    rooms: float = 5.5
    views: int = 4
    sentences: float = 22.0
    clips: float = 1.5
    images: int = 4
    feature_size: int = 512
    noise: float = 1.5

    def __post_init__(self) -> None:
        """Raises ValueError for a number that makes no museums."""
        for name, least in (
            ("museums", 10),
            ("seed", 0),
            ("concept_seed", 0),
            ("rooms", 1),
            ("views", 1),
            ("sentences", self.rooms + 1),
            ("clips", 0),
            ("images", 0),
            ("feature_size", 16),
            ("noise", 0),
        ):
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"{name}: expected at least {least}, found {value}")


@dataclasses.dataclass(frozen=True, slots=True)
class SyntheticPlan:
    """A museum set in numbers; museums are in split order.

    Attributes:
        splits: (museums,) split names.
        themes: (museums,) index into `THEMES`.
        room_offsets: (museums + 1,) rooms of museum i are [i]:[i + 1].
        concepts: (rooms, slots) concept numbers, of the groups in `SLOTS`.
        sentences: (rooms,) sentences about each room.
        clips: (rooms,) clips in each room, each hung once.
        painting_offsets: (rooms + 1,) into `paintings`.
        paintings: Painting numbers by room.
        painting_concepts: (paintings, 2) concept numbers that a painting shows.
    """

    splits: np.ndarray
    themes: np.ndarray
    room_offsets: np.ndarray
    concepts: np.ndarray
    sentences: np.ndarray
    clips: np.ndarray
    painting_offsets: np.ndarray
    paintings: np.ndarray
    painting_concepts: np.ndarray


def plan_museums(config: SyntheticConfig, space: ConceptSpace) -> SyntheticPlan:
    """Decides everything about a museum set but its wording and its noise."""
    rng = np.random.default_rng([config.seed, 0])
    pick = _ThemedPick(space, rng)
    sizes = _split_sizes(config.museums)
    themes, rooms = [], []
    for size in sizes.values():
        split_themes, split_rooms = _make_split(size, config, pick, rng)
        themes.append(split_themes)
        rooms += split_rooms
    concepts = np.concatenate(rooms)
    count = len(concepts)
    paintings, painting_concepts, painting_offsets = _hang_paintings(
        concepts, config.images, rng
    )
    return SyntheticPlan(
        splits=np.repeat(list(sizes), list(sizes.values())),
        themes=np.concatenate(themes),
        room_offsets=np.concatenate([[0], np.cumsum([len(room) for room in rooms])]),
        concepts=concepts,
        # One sentence of a museum is about all of it.
        sentences=_around((config.sentences - 1) / config.rooms, count, 1, rng),
        clips=_around(config.clips, count, 0, rng),
        painting_offsets=painting_offsets,
        paintings=paintings,
        painting_concepts=painting_concepts,
    )


class _ThemedPick:
    """Draws concepts as a theme favours them."""

    def __init__(self, space: ConceptSpace, rng: np.random.Generator):
        self._rng = rng
        self._first = {
            group: space.index[words[0]] for group, words in space.concepts.items()
        }
        # Each theme ranks a group's words in its own order, and draws by Zipf's law.
        self._ranked = {
            group: np.stack([rng.permutation(len(words)) for _ in THEMES])
            for group, words in space.concepts.items()
        }
        self._exhibits = [
            self(theme, SLOTS[MUSEUM_SLOTS:], EXHIBITS) for theme in range(len(THEMES))
        ]

    def __call__(self, theme: int, slots: tuple[str, ...], rooms: int) -> np.ndarray:
        """(rooms, slots) concept numbers."""
        drawn = np.empty((rooms, len(slots)), np.int64)
        for column, group in enumerate(slots):
            ranked = self._ranked[group][theme]
            shares = np.cumsum(1 / np.arange(1, len(ranked) + 1))
            favoured = np.searchsorted(shares, self._rng.random(rooms) * shares[-1])
            stray = self._rng.integers(len(ranked), size=rooms)
            is_stray = self._rng.random(rooms) < STRAY
            drawn[:, column] = self._first[group] + np.where(
                is_stray, stray, ranked[favoured]
            )
        return drawn

    def rooms(self, theme: int, count: int) -> np.ndarray:
        """(count, own slots) concepts of rooms: different exhibits, each varied."""
        own = SLOTS[MUSEUM_SLOTS:]
        exhibits = self._exhibits[theme]
        chosen = exhibits[
            self._rng.choice(len(exhibits), size=count, replace=count > len(exhibits))
        ]
        varied = self._rng.random(chosen.shape) < VARIATION
        return np.where(varied, self(theme, own, count), chosen)


def _make_split(
    size: int,
    config: SyntheticConfig,
    pick: _ThemedPick,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Themes of a split's museums, and concepts of the rooms of each."""
    themes = rng.choice(len(THEMES), size=size, p=THEME_SHARES)
    is_sibling = rng.random(size) < SIBLINGS
    counts = _around(config.rooms, size, max(1, round(config.rooms / 2)), rng)
    rooms: list[np.ndarray] = []
    for i in range(size):
        if i and is_sibling[i]:
            themes[i] = themes[i - 1]
            rooms.append(_make_sibling(rooms[-1], rng))
            continue
        whole = pick(themes[i], SLOTS[:MUSEUM_SLOTS], 1).repeat(counts[i], axis=0)
        own = pick.rooms(themes[i], counts[i])
        rooms.append(np.concatenate([whole, own], axis=1))
    # Siblings are no neighbours in the published order.
    order = rng.permutation(size)
    return themes[order], [rooms[i] for i in order]


def _make_sibling(rooms: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rooms in another order, or their concepts dealt out anew."""
    if rng.random() < 0.5:
        return rooms[rng.permutation(len(rooms))]
    return rng.permuted(rooms, axis=0)


def _hang_paintings(
    concepts: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paintings by room, what each painting shows, and the offsets of the rooms.

    A painting shows two of its room's concepts. There are few of each pair, so that a
    painting hangs in every room that asks for it.
    """
    rooms = np.repeat(
        np.arange(len(concepts)), rng.integers(most + 1, size=len(concepts))
    )
    # Two different slots: the second is found by counting on from the first.
    own = concepts.shape[1] - MUSEUM_SLOTS
    first = rng.integers(own, size=len(rooms))
    second = (first + rng.integers(1, own, size=len(rooms))) % own
    shown = [concepts[rooms, MUSEUM_SLOTS + slot] for slot in (first, second)]
    edition = rng.integers(2, size=len(rooms))
    wanted = np.column_stack([np.sort(shown, axis=0).T, edition])
    kinds, paintings = np.unique(wanted, axis=0, return_inverse=True)
    # A room shows a painting once.
    by_room = np.unique(np.stack([rooms, paintings.reshape(-1)], axis=1), axis=0)
    lengths = np.bincount(by_room[:, 0], minlength=len(concepts))
    return by_room[:, 1], kinds[:, :2], np.concatenate([[0], np.cumsum(lengths)])


def _split_sizes(museums: int) -> dict[str, int]:
    sizes = {name: round(share * museums) for name, share in SPLIT_SHARES.items()}
    sizes["train"] += museums - sum(sizes.values())
    return sizes


def _around(
    mean: float, count: int, least: int, rng: np.random.Generator
) -> np.ndarray:
    """`count` whole numbers from `least` on, evenly spread around `mean`."""
    spread = 2 * max(mean - least, 0) + 1
    return (least + rng.random(count) * spread).astype(np.int64)
