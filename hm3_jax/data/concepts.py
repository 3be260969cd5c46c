"""A small space of concepts that words and pictures share, for generated features.

Every word has a fixed direction, derived by hashing from the space's seed. So a store's
facts alone are enough to rebuild the encoder of its sentences, and texts typed later
get features in the same space. Pictures show the same concepts in directions that agree
only partly with those of the words, and at an offset (the modality gap), as CLIP's
image and text features do.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hm3_jax.data.store_format import FeatureFacts

MODEL = "concepts"
"""What the facts of such features name as their model."""

THEMES = (
    "religious",
    "portrait",
    "landscape",
    "mythological",
    "genre",
    "still-life",
    "historical",
    "interior",
    "study",
    "marine",
)

CONCEPTS: Mapping[str, tuple[str, ...]] = {
    "theme": THEMES,
    "style": tuple(
        "baroque gothic rococo romantic realist impressionist symbolist cubist "
        "mannerist neoclassical byzantine expressionist futurist naive".split()
    ),
    "subject": tuple(
        "saint angel king queen knight hunter dancer sailor farmer child nymph "
        "philosopher merchant soldier musician shepherd bishop widow bride goddess "
        "prophet poet scholar beggar".split()
    ),
    "object": tuple(
        "vase sword crown violin mirror candle lemon skull globe lantern carpet book "
        "chalice basket drum letter mask anchor loom harp goblet feather clock "
        "fountain".split()
    ),
    "setting": tuple(
        "harbour forest chapel orchard mountain garden tavern palace riverbank "
        "courtyard desert meadow cliff cave bridge market library battlefield".split()
    ),
    "colour": tuple(
        "crimson golden blue green ivory black purple silver orange grey rose "
        "brown".split()
    ),
    "technique": tuple(
        "oil tempera watercolour fresco pastel charcoal engraving mosaic tapestry "
        "gouache".split()
    ),
    "mood": tuple(
        "serene gloomy joyful solemn dramatic tender mysterious proud".split()
    ),
}
"""Words of each group of concepts."""

# Length of all features, about that of CLIP ViT-B/32's projected embeddings.
NORM = 10.0
# Length of the offset between words and pictures; a feature's content has length 1.
GAP = 0.7
# Length of a word that is no concept, beside a concept's 1.
FILLER = 0.15
# Cosine between a concept's directions in words and in pictures.
AGREEMENT = 0.5
# Directions in which pictures differ and words say nothing.
NUISANCES = 16

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


def direction(key: str, size: int) -> Float[np.ndarray, "size"]:
    """A unit vector that looks random and depends on `key` alone.

    Made from hashed bits by integer sums, not by a library's random numbers, whose
    streams may change between versions.
    """
    bits = hashlib.shake_256(key.encode()).digest(8 * size)
    sums = np.frombuffer(bits, "<u2").astype(np.int64).reshape(size, 4).sum(axis=1)
    # A sum of four uniform numbers is close enough to a normal one.
    vector = (sums - 2 * 65535).astype(np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class ConceptSpace:
    """Directions of concepts in words and in pictures.

    Attributes:
        seed: Which of many alike spaces.
        size: Size of a feature.
        concepts: Words of each group.
        index: Number of each concept word, over all groups in order.
    """

    def __init__(
        self,
        seed: int,
        size: int,
        concepts: Mapping[str, Sequence[str]] = CONCEPTS,
    ):
        """Makes the space of `seed`.

        Raises:
            ValueError: If `size` is below 2 or a word is in two groups.
        """
        if size < 2:
            raise ValueError(f"expected a feature size of at least 2, found {size}")
        self.seed = seed
        self.size = size
        self.concepts = {group: tuple(words) for group, words in concepts.items()}
        words = [word for group in self.concepts.values() for word in group]
        self.index = {word: i for i, word in enumerate(words)}
        if len(self.index) != len(words):
            raise ValueError(
                "expected each concept word in one group, found one in two"
            )

    def direction(self, key: str) -> Float[np.ndarray, "size"]:
        """The space's direction for `key`."""
        return direction(f"{self.seed}/{key}", self.size)

    def in_words(self) -> Float[np.ndarray, "concepts size"]:
        """Each concept's unit direction in words."""
        return np.stack([self.direction(f"word/{word}") for word in self.index])

    def in_pictures(self) -> Float[np.ndarray, "concepts size"]:
        """Each concept's unit direction in pictures."""
        own = np.stack([self.direction(f"picture/{word}") for word in self.index])
        mixed = AGREEMENT * self.in_words() + np.sqrt(1 - AGREEMENT**2) * own
        return unit(mixed).astype(np.float32)

    def nuisances(self) -> Float[np.ndarray, "nuisances size"]:
        """Unit directions in which pictures differ and words say nothing."""
        return np.stack([self.direction(f"nuisance/{i}") for i in range(NUISANCES)])

    def gap(self, modality: str) -> Float[np.ndarray, "size"]:
        """The offset of all features of "words" or "pictures"."""
        return np.float32(GAP) * self.direction(f"gap/{modality}")

    def facts(self, modality: str, pooling: str) -> FeatureFacts:
        """Facts of features of "words" or "pictures" in this space."""
        details: dict[str, Any] = {"synthetic": True, "modality": modality}
        details |= {"seed": self.seed, "norm": NORM, "gap": GAP}
        if modality == "words":
            details |= {
                "filler": FILLER,
                "concepts": {
                    group: list(words) for group, words in self.concepts.items()
                },
            }
        return FeatureFacts(
            feature_size=self.size,
            model=MODEL,
            weights=f"seed-{self.seed}",
            pooling=pooling,
            details=details,
        )


class ConceptEncoder:
    """Encodes English text by the concepts that its words name.

    A sentence's feature is the direction of the sum of its words' vectors, at the
    words' offset. A word that names no concept counts as a short vector of its own; a
    plural counts as its singular. The order of words does not matter.
    """

    def __init__(self, space: ConceptSpace):
        """Makes the encoder of sentences in `space`."""
        self._space = space
        self._gap = space.gap("words")
        self._concepts = space.in_words()
        self._filler = functools.lru_cache(maxsize=4096)(space.direction)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> ConceptEncoder:
        """The encoder that made a store's sentence features.

        Args:
            facts: The store's `feature_facts()["sentences"]`.

        Raises:
            ValueError: If they are of another model, of pictures, or of a space that
                this version does not make.
        """
        if facts.get("model") != MODEL:
            raise ValueError(
                f"expected sentence features of model {MODEL!r}, found "
                f"{facts.get('model')!r}"
            )
        details = facts["details"]
        if details["modality"] != "words":
            raise ValueError(
                f"expected facts of sentences, found those of {details['modality']}"
            )
        for name, value in (("norm", NORM), ("gap", GAP), ("filler", FILLER)):
            if details[name] != value:
                raise ValueError(
                    f"expected a concept space with {name} {value}, found "
                    f"{details[name]}"
                )
        return cls(
            ConceptSpace(details["seed"], facts["feature_size"], details["concepts"])
        )

    def encode(self, sentences: Sequence[str]) -> Float[np.ndarray, "sentences size"]:
        """Encodes sentences, each by itself.

        Args:
            sentences: Texts; words are runs of letters and inner hyphens, in any case.

        Returns:
            (sentences, size) float32, every row of length `NORM`.
        """
        words = [_WORD.findall(sentence.lower()) for sentence in sentences]
        vocabulary = sorted(set(itertools.chain(*words)))
        rows = {word: i for i, word in enumerate(vocabulary, start=1)}
        vectors = np.zeros((len(vocabulary) + 1, self._space.size), np.float32)
        for word, row in rows.items():
            vectors[row] = self._vector(word)
        sums = np.zeros((len(words), self._space.size), np.float32)
        # Word by word over all sentences, so that a sentence's sum does not depend on
        # the others in the call, as it might if a matrix product did this.
        for column in itertools.zip_longest(*words):
            sums += vectors[[rows.get(word, 0) for word in column]]
        return placed(sums, self._gap)

    def knows(self, sentence: str) -> bool:
        """Whether a sentence names a concept."""
        words = _WORD.findall(sentence.lower())
        return any(self._concept(word) is not None for word in words)

    def _concept(self, word: str) -> int | None:
        for form in (word, word.removesuffix("s")):
            if form in self._space.index:
                return self._space.index[form]
        return None

    def _vector(self, word: str) -> np.ndarray:
        concept = self._concept(word)
        if concept is not None:
            return self._concepts[concept]
        # Both forms of the article are one word.
        key = "a" if word == "an" else word
        return np.float32(FILLER) * self._filler(f"filler/{key}")


def unit(rows: Float[np.ndarray, "rows size"]) -> Float[np.ndarray, "rows size"]:
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.sqrt(np.einsum("rs,rs->r", rows, rows))
    return rows / np.where(lengths > 0, lengths, 1)[:, None]


def placed(
    contents: Float[np.ndarray, "rows size"], gap: Float[np.ndarray, "size"]
) -> Float[np.ndarray, "rows size"]:
    """Features of length `NORM` from contents of any length, at an offset."""
    return np.float32(NORM) * unit(unit(contents) + gap)
