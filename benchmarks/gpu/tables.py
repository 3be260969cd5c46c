"""The record as Markdown: what was measured, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.gpu.setting import Row
from benchmarks.gpu.speed import GRID_EPOCHS, GRID_RUNS, GRID_STRATEGIES
from benchmarks.gpu.stages import GRID

Record = Mapping[str, Any]

NONE = "-"


def markdown(record: Record, level: int = 2) -> str:
    """The whole report.

    Args:
        record: as `results.Results` keeps it.
        level: of the headings.
    """
    parts = [_opening(record)]
    for name, section in _SECTIONS.items():
        text = section(record)
        if text:
            parts.append(f"{'#' * level} {name}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def rows_of(record: Record, stage: str) -> list[Row]:
    """All rows of a stage."""
    steps = record["stages"].get(stage, {}).values()
    return [row for step in steps for row in step["rows"]]


def predicted_grid_seconds(record: Record) -> float | None:
    """Seconds of the genMuseums part of the published grid, from its largest strategy.

    None where 33 runs at once were not measured.
    """
    (*_, found) = (
        None,
        *(
            row
            for row in rows_of(record, "training")
            if row["what"] == "HM3's strategy" and row["runs"] == GRID_RUNS
        ),
    )
    if found is None or "failed" in found:
        return None
    later = (GRID_EPOCHS - 1) * found["epoch_seconds"]
    return GRID_STRATEGIES * (found["first_epoch_seconds"] + later)


def _opening(record: Record) -> str:
    said = {row["what"]: row.get("value") for row in rows_of(record, "machine")}
    versions = {row["what"]: row.get("version") for row in rows_of(record, "machine")}
    card = said.get("kind") or "a machine that said nothing"
    used = ", ".join(
        f"{name} {versions[name]}" for name in ("jax", "torch") if versions.get(name)
    )
    text = f"Measured on {card} with {used or 'nothing'}, {record['began']}."
    if record["miniature"]:
        text = f"A rehearsal: the numbers mean nothing. {text}"
    if "warning" in said:
        text += f"\n\n**Warning: {said['warning']}.**"
    return text


def _machine(record: Record) -> str:
    rows = rows_of(record, "machine")
    said = [
        (row["what"], row.get("value", row.get("version")))
        for row in rows
        if "value" in row or "version" in row
    ]
    rates = [
        (f"products, {row['what']}", f"{row['flops_per_second'] / 1e12:.4g} TFLOP/s")
        for row in rows
        if "flops_per_second" in row
    ]
    rates += [
        ("memory", f"{row['bytes_per_second'] / 1e9:.4g} GB/s")
        for row in rows
        if "bytes_per_second" in row
    ]
    return _table(("machine", ""), [*said, *rates])


def _equality(record: Record) -> str:
    lines = [
        (
            row["precision"],
            row["what"] + (f" of {row['of']} strategies" if row.get("of") else ""),
            f"{row['largest_difference']:.2g}",
            _number(row["needed"]),
        )
        for row in rows_of(record, "equality")
    ]
    return _table(("precision", "golden", "largest difference", "needed"), lines)


def _training(record: Record) -> str:
    rates = {
        row["what"]: row.get("flops_per_second") for row in rows_of(record, "machine")
    }
    torch = [row for row in rows_of(record, "plain PyTorch") if "runs" in row]
    fastest = min((row["training_seconds"] for row in torch), default=None)
    lines = []
    for row in [
        *torch,
        *rows_of(record, "training"),
        *rows_of(record, "late interaction"),
    ]:
        if "failed" in row:
            lines.append((row["what"], row["runs"], row["failed"]))
            continue
        seconds, rate = row["training_seconds"], row.get("training_flops_per_second")
        most = rates.get("default" if "TF32" in row["what"] else "highest")
        compiled = None
        if "first_epoch_seconds" in row:
            compiled = row["first_epoch_seconds"] - row["epoch_seconds"]
        against = None
        if fastest is not None and "late" not in row["what"]:
            against = fastest * row["runs"] / seconds
        lines.append(
            (
                row["what"],
                row["runs"],
                _number(seconds),
                _number(seconds / row["runs"]),
                _number(against),
                _number(rate and rate / 1e12),
                f"{rate / most:.1%}" if rate and most else NONE,
                _number(compiled),
            )
        )
    text = _table(
        (
            "training",
            "runs at once",
            "seconds an epoch",
            "a run",
            "times as fast as PyTorch",
            "TFLOP/s",
            "of the card's rate",
            "seconds to compile",
        ),
        lines,
    )
    grid = predicted_grid_seconds(record)
    measured = [row["seconds"] for row in rows_of(record, GRID)]
    said = []
    if grid is not None:
        said.append(
            f"The genMuseums part of the published grid ({GRID_STRATEGIES} "
            f"strategies, {GRID_RUNS} runs each, {GRID_EPOCHS} epochs) would take "
            f"{grid:.0f} s, were all strategies as large as the largest."
        )
    if measured:
        said.append(f"The published grid took {measured[-1]:.0f} s.")
    return "\n\n".join(filter(None, [text, " ".join(said)]))


def _recurrence(record: Record) -> str:
    rows = [
        row
        for stage in record["stages"]
        if stage.startswith("recurrence")
        for row in rows_of(record, stage)
    ]
    lines = [
        (
            row["what"],
            row["runs"],
            _number(row["seconds"]),
            _number(row["first_call_seconds"]),
            f"{row['loss']:.6f}",
        )
        for row in rows
    ]
    return _table(
        ("recurrence", "runs at once", "seconds an epoch", "first call", "loss"), lines
    )


def _search(record: Record) -> str:
    bandwidth = max(
        (r.get("bytes_per_second", 0) for r in rows_of(record, "machine")), default=0
    )
    lines = []
    for row in rows_of(record, "search"):
        if "missing" in row:
            lines.append((row["what"], f"{row['missing']} is not installed"))
            continue
        milliseconds = row["ours_milliseconds"]
        read = row["bytes"] / (milliseconds / 1000)
        lines.append(
            (
                row["what"],
                _number(milliseconds),
                _number(row.get("faiss_milliseconds")),
                _number(row.get("faiss_blas_milliseconds")),
                f"{read / bandwidth:.1%}" if bandwidth else NONE,
            )
        )
    return _table(
        ("search", "ours, ms", "faiss on CPU, ms", "its BLAS, ms", "of the bandwidth"),
        lines,
    )


def _extraction(record: Record) -> str:
    rows = rows_of(record, "extraction")
    lines = [
        (
            row["what"],
            _number(row["items_per_second"]),
            NONE if row["busy"] is None else f"{row['busy']:.0%}",
        )
        for row in rows
    ]
    text = _table(("extraction", "a second", "GPU busy"), lines)
    by_workers = [row for row in rows if "workers" in row["what"]]
    if by_workers:
        best = max(row["items_per_second"] for row in by_workers)
        enough = next(r for r in by_workers if r["items_per_second"] >= 0.95 * best)
        text += f"\n\nEnough, to within a twentieth of the best: {enough['what']}."
    return text


def _memory(record: Record) -> str:
    kept = [
        (row["what"], f"{row['bytes'] / 2**30:.2f} GiB" if row["bytes"] else NONE)
        for stage in ("memory of short commands", "memory")
        for row in rows_of(record, stage)
        if "museums" not in row
    ]
    stores = [
        (
            f"{row['museums']:,} museums, {row['bytes'] / 2**30:.2f} GiB",
            row["features_lie_on"],
            _number(row["training_seconds"]),
        )
        for row in rows_of(record, "memory")
        if "museums" in row
    ]
    return "\n\n".join(
        filter(
            None,
            [
                _table(("memory", ""), kept),
                _table(("store", "features lie on", "seconds an epoch"), stores),
            ],
        )
    )


def _devices(record: Record) -> str:
    rows, lines = rows_of(record, "several devices"), []
    for row in rows:
        alone = next(r for r in rows if r["what"] == row["what"])
        speedup = alone["training_seconds"] / row["training_seconds"]
        of_work = row["runs"] / alone["runs"]
        efficiency = speedup * of_work / row["devices"]
        lines.append(
            (
                row["what"],
                row["devices"],
                row["runs"],
                _number(row["training_seconds"]),
                f"{efficiency:.0%}",
            )
        )
    heads = ("devices", "number", "runs", "seconds an epoch", "efficiency")
    return _table(heads, lines)


def _not_measured(record: Record) -> str:
    lines = [
        (stage, step, f"{about['state']}: {about.get('error', '')}".rstrip(": "))
        for stage, steps in record["stages"].items()
        for step, about in steps.items()
        if about["state"] != "done"
    ]
    return _table(("stage", "step", "why"), lines)


_SECTIONS: Mapping[str, Callable[[Record], str]] = {
    "Training": _training,
    "Equality with the published numbers": _equality,
    "Ways to compute the recurrences": _recurrence,
    "Search": _search,
    "Extraction": _extraction,
    "Memory": _memory,
    "Several devices": _devices,
    "Not measured": _not_measured,
    "The machine": _machine,
}


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _table(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; nothing where it has no lines."""
    cells = [[str(cell).replace("|", "/") for cell in line] for line in lines]
    if not cells:
        return ""
    full = [[*line, *[""] * (len(heads) - len(line))] for line in cells]
    every = [list(heads), ["---"] * len(heads), *full]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)
