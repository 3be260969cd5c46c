"""What is in a store, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.data.store_format import Manifest
from hm3_jax.files.input_kinds import ARTWORK_KINDS, KINDS
from hm3_jax.files.words import counted


def summary_line(manifest: Manifest) -> str:
    """The store in one line: data set, museums by split, themes, counts, size."""
    splits = splits_line(manifest)
    counts = ", ".join(
        f"{manifest.counts[kind]} {kind}"
        for kind in ("rooms", *KINDS)
        if kind in manifest.counts
    )
    megabytes = sum(facts.bytes for facts in manifest.files.values()) / 1e6
    return (
        f"{manifest.dataset_name} ({manifest.kind}): "
        f"{counted(manifest.counts['museums'], 'museum')} ({splits}), "
        f"{counted(len(manifest.themes), 'theme')}, {counts}, "
        f"{megabytes:.1f} MB of {manifest.dtype}"
    )


def splits_line(manifest: Manifest) -> str:
    """Museums by split, and those that are in none: "8 train, 2 test"."""
    parts = [f"{size} {name}" for name, size in manifest.splits.items()]
    rest = manifest.counts["museums"] - sum(manifest.splits.values())
    if rest:
        parts.append(f"{rest} without a description, in no split")
    return ", ".join(parts)


def summarize(store: FeatureStore) -> dict[str, Any]:
    """What is in `store`, as JSON values.

    Returns:
        The manifest's facts without the single files; "themes" with the museums of
        each split; "lengths" with mean, least and most of what a museum or room has;
        "bytes" on disk, in all and by file.
    """
    manifest = store.manifest
    rooms = np.diff(store.room_offsets)
    lengths = {
        "sentences per museum": store.sentences.lengths,
        "rooms per museum": rooms,
        "views per room": store.views.lengths,
    }
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            lengths[f"{kind} per room"] = artworks.hung.lengths
    by_split = {
        split: np.bincount(store.theme_index[museums], minlength=len(store.themes))
        for split, museums in store.splits.items()
    }
    sizes = {name: facts.bytes for name, facts in manifest.files.items()}
    return {
        "path": str(store.path),
        "dataset_name": manifest.dataset_name,
        "kind": manifest.kind,
        "format_version": manifest.format_version,
        "dtype": manifest.dtype,
        "splits": dict(manifest.splits),
        "counts": dict(manifest.counts),
        "themes": {
            theme: {split: int(counts[i]) for split, counts in by_split.items()}
            for i, theme in enumerate(store.themes)
        },
        "lengths": {
            what: {
                "mean": float(column.mean()),
                "min": int(column.min()),
                "max": int(column.max()),
            }
            for what, column in lengths.items()
        },
        "sentence_texts": store.texts is not None,
        "sentence_rooms": store.sentence_rooms is not None,
        "features": store.feature_facts(),
        "origin": dict(manifest.origin),
        "bytes": {"total": sum(sizes.values()), "files": sizes},
    }


def render(summary: dict[str, Any], most_themes: int = 20) -> str:
    """`summarize`'s answer as text for people.

    Args:
        summary: The answer.
        most_themes: Themes to list; data sets where each museum is one have too many.
    """
    splits = list(summary["splits"])
    without = summary["counts"]["museums"] - sum(summary["splits"].values())
    lines = [
        f"{summary['path']}: {summary['dataset_name']} ({summary['kind']}), format "
        f"{summary['format_version']}, {summary['dtype']}, "
        f"{summary['bytes']['total'] / 1e6:.1f} MB",
        "",
        *_table(
            ("split", "museums"),
            [(name, str(size)) for name, size in summary["splits"].items()]
            + [("none", str(without))] * bool(without),
        ),
        "",
        *_table(
            ("count", ""),
            [(name, str(count)) for name, count in summary["counts"].items()],
        ),
        "",
        *_table(
            ("length", "mean", "min", "max"),
            [
                (what, f"{spread['mean']:.2f}", str(spread["min"]), str(spread["max"]))
                for what, spread in summary["lengths"].items()
            ],
        ),
        "",
        *_table(
            (f"theme ({len(summary['themes'])})", *splits),
            [
                (theme, *(str(counts[split]) for split in splits))
                for theme, counts in list(summary["themes"].items())[:most_themes]
            ],
        ),
    ]
    if len(summary["themes"]) > most_themes:
        lines.append(f"... and {len(summary['themes']) - most_themes} more")
    lines.append("")
    for kind, facts in summary["features"].items():
        said = ", ".join(
            f"{name} {_shorten(value)}" for name, value in facts.items() if value
        )
        lines.append(f"{kind}: {said}")
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table; the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]


def _shorten(value: object, most: int = 120) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[: most - 4]} ..."
