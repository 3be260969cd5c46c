"""Parts of descriptions: of each museum some consecutive sentences, or all of them.

A *span* is the number of its first sentence (from 0) and the number of its sentences.
`WHOLE` instead of the first sentence stands for the complete description, whatever the
second number is. A span that happens to have all sentences still counts as a part.
"""

import numpy as np
from jaxtyping import Int

WHOLE = -1
"""Stands for the first sentence of a complete description."""

QUERY_LENGTHS = (1, 2, 4, 8)
"""Sentences of the queries that a trained model is tested with, besides whole ones."""

QUERY_SEED = 0
"""Draws where the sentences of these queries begin."""

# What tells these streams of randomness from that of the order of museums, which has no
# such number; not 0, which a seed sequence takes for none.
_STREAM = 1


def random_spans(
    sentences: Int[np.ndarray, " museums"],
    share: float,
    *,
    seed: int,
    attempt: int,
    epoch: int,
) -> Int[np.ndarray, "museums 2"]:
    """Spans for an epoch of training; which museums get one is drawn, too.

    Lengths are uniform in their logarithm: of a long description, one sentence is about
    as likely as two or three, as four to seven, and so on. Starts are uniform.

    Args:
        sentences: of each museum's description.
        share: of the descriptions that a span replaces, on average.
        seed: of the experiment.
        attempt: number of the try, from 1.
        epoch: from 0.

    Returns:
        int32 (museums, 2); whole where no span was drawn, or nothing is there to cut.
    """
    generator = np.random.Generator(np.random.Philox([seed, attempt, epoch, _STREAM]))
    chosen, length, start = generator.random((3, len(sentences)))
    drawn = np.floor(np.exp(length * np.log(sentences + 1.0)))
    count = np.clip(drawn.astype(np.int64), 1, sentences)
    return _spans((chosen < share) & (sentences > 0), start, count, sentences)


def spans_of_length(
    sentences: Int[np.ndarray, " museums"], length: int, *, seed: int
) -> Int[np.ndarray, "museums 2"]:
    """Spans of one length, for queries of that many sentences.

    Every length has its starts at the same relative place in the description.

    Args:
        sentences: of each museum's description.
        length: of the spans; all sentences where there are fewer.
        seed: of the starts.

    Returns:
        int32 (museums, 2).
    """
    start = np.random.Generator(np.random.Philox([seed])).random(len(sentences))
    count = np.minimum(length, sentences)
    return _spans(np.ones(len(sentences), bool), start, count, sentences)


def _spans(chosen, start, count, sentences) -> Int[np.ndarray, "museums 2"]:
    """Spans at relative places from 0 to 1 (exclusive), whole where not chosen."""
    first = np.floor(start * (sentences - count + 1)).astype(np.int64)
    spans = np.stack([np.where(chosen, first, WHOLE), count], axis=1)
    return spans.astype(np.int32)
