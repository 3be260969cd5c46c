"""How well museums are found by queries of some sentences: its files, and lines."""

import dataclasses
import math
from pathlib import Path

from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.file_list import listed_damage
from hm3_jax.files.json_files import json_text, read_object
from hm3_jax.files.lines import write_text
from hm3_jax.files.run_format import BY_LENGTH, WHOLE_QUERY, LengthFacts
from hm3_jax.objective.metric_table import BY_KEY, MAIN_KEYS
from hm3_jax.reporting.by_theme import main_heads


def write_by_length(folder: Path, facts: LengthFacts) -> None:
    """Writes `by_length.csv` and `by_length.json`."""
    keys = [key for key in BY_KEY if key.startswith("t2s_")]
    rows = [
        [length, *(metrics[key] for key in keys)]
        for length, metrics in facts.lengths.items()
    ]
    write_csv(folder / "by_length.csv", [["sentences", *keys], *rows])
    write_text(folder / BY_LENGTH, json_text(dataclasses.asdict(facts)))


def lines_by_length(facts: LengthFacts) -> list[str]:
    """A table for people to read."""
    lines = ["  sentences" + "".join(f" {head:>11s}" for head in main_heads())]
    for length, metrics in facts.lengths.items():
        values = "".join(f" {metrics[key]:11.3f}" for key in MAIN_KEYS)
        lines.append(f"  {length:>9s}{values}")
    return lines


def read_by_length(path: Path) -> LengthFacts:
    """Reads `by_length.json`.

    Raises:
        ValueError: it is something else, edited, or not to be read.
    """
    if edited := listed_damage(path.parent, (path.name,)):
        raise ValueError(edited)
    try:
        content = read_object(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    try:
        facts = LengthFacts(**content)
        numbers = [
            float(value)
            for length, metrics in facts.lengths.items()
            for value in (order_of(length), *metrics.values())
        ]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("numbers that are not finite")
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected metrics by number of sentences, found {error}"
        ) from None
    return facts


def order_of(length: str) -> float:
    """Where a number of sentences stands among others.

    Raises:
        ValueError: it is none.
    """
    return 1e9 if length == WHOLE_QUERY else float(length)
