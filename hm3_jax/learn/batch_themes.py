"""How the themes of museums meet in the batches of an epoch.

A theme-aware loss takes its negatives from museums of other themes and its second
component from pairs of one theme, so this says how much it has to work on.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Int


@dataclasses.dataclass(frozen=True, slots=True)
class BatchThemes:
    """Themes in the batches of one epoch.

    Attributes:
      themes: number of different themes, by batch.
      pairs: number of unordered pairs of museums of one theme, by batch.
      museums: number of museums of a theme, for every theme of every batch that has
        it.
    """

    themes: Int[np.ndarray, " steps"]
    pairs: Int[np.ndarray, " steps"]
    museums: Int[np.ndarray, " found"]

    def summary(self) -> dict[str, Any]:
        """As it stands in `metrics.jsonl`."""
        return {
            "mean": float(self.themes.mean()),
            "min": int(self.themes.min()),
            "max": int(self.themes.max()),
            "same_theme_pairs": float(self.pairs.mean()),
        }


def batch_themes(
    batches: Int[np.ndarray, "steps batch"], themes: Int[np.ndarray, " museums"]
) -> BatchThemes:
    """Counts the themes of every batch.

    Args:
      batches: museums, negative where a place is free.
      themes: of all museums.
    """
    batch, place = np.nonzero(batches >= 0)
    # Sorted pairs instead of a table, since there may be as many themes as museums.
    found, museums = np.unique(
        np.stack([batch, np.asarray(themes)[batches[batch, place]]]),
        axis=1,
        return_counts=True,
    )
    steps = len(batches)
    pairs = np.bincount(found[0], museums * (museums - 1) // 2, steps)
    return BatchThemes(
        np.bincount(found[0], minlength=steps), pairs.astype(np.int64), museums
    )
