"""What `evaluate` is told to do, checked as far as it can be before the work begins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from hm3_jax.files.run_format import WHOLE_QUERY
from hm3_jax.learn.batches.spans import QUERY_SEED
from hm3_jax.reporting.per_query import check_formats
from hm3_jax.retrieval.query_text import check_top_k


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What to evaluate, and what to write.

    Attributes:
        checkpoints: What `load_checkpoint` takes: folders, or models on the hub.
        splits: Names of splits, or "all" alone.
        output: Folder to make.
        per_query: Forms in which a table of all queries is written: "csv", "parquet".
        queries: File of free descriptions to rank the museums for, or None.
        top_k: Items that are listed for each query.
        pretrained: Weights of the text encoder, if not where the store's facts say.
        device: PyTorch's name of a device for the text encoder.
        query_sentences: Numbers of sentences, or "all", to test with as well: so many
            consecutive ones of each description.
        query_seed: Of where these begin.
        theme_weights: How much a shared theme counts: one that replaces the
            model's, or several to test with besides it.

    Raises:
        ValueError: If a number of sentences is none, or is there twice; also as
            `check_formats` and `check_top_k`.
        ModuleNotFoundError: As `check_formats`.
    """

    checkpoints: Sequence[str]
    splits: Sequence[str]
    output: Path
    per_query: Sequence[str] = ()
    queries: Path | None = None
    top_k: int = 10
    pretrained: str | None = None
    device: str = "auto"
    query_sentences: Sequence[str] = ()
    query_seed: int = QUERY_SEED
    theme_weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        """Checks what can be checked without store and models."""
        check_formats(self.per_query)
        check_top_k(self.top_k)
        for text in self.query_sentences:
            if text != WHOLE_QUERY and not re.fullmatch("[1-9][0-9]{0,5}", text):
                raise ValueError(
                    "query_sentences: expected whole numbers from 1 on, or "
                    f"{WHOLE_QUERY}, found {text!r}"
                )
        if len(set(self.query_sentences)) < len(self.query_sentences):
            raise ValueError(
                "query_sentences: expected each number once, found "
                f"{','.join(self.query_sentences)}"
            )
        if self.query_seed < 0:
            raise ValueError(f"query_seed: expected 0 or more, found {self.query_seed}")

    @property
    def lengths(self) -> list[int]:
        """The numbers of sentences."""
        return [int(text) for text in self.query_sentences if text != WHOLE_QUERY]
