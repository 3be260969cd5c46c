"""The tour runs, and shows what is stored in it."""

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hm3_jax
from tests.test_imports import imported_names

nbformat = pytest.importorskip("nbformat")
for _needed in ("nbclient", "matplotlib", "sklearn"):
    pytest.importorskip(_needed)

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.mark.thorough
def test_the_tour_runs_and_shows_what_is_stored(
    repository: Path,
    tmp_path: Path,
    run_module: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    path = tmp_path / "tour.ipynb"
    done = run_module("docs.site.tour", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [found.name for found in tmp_path.iterdir()] == ["tour.ipynb"]
    stored = nbformat.read(repository / "docs" / "tour.ipynb", as_version=4)
    fresh = nbformat.read(path, as_version=4)
    assert [cell.source for cell in fresh.cells] == [c.source for c in stored.cells]
    found = [
        fault
        for before, after in zip(stored.cells, fresh.cells, strict=True)
        if before.cell_type == "code"
        for fault in faults(before, after)
    ]
    assert found == []
    by_hand = re.findall(r"(\d+\.\d+)(?: %)?,? +by hand +(\d+\.\d+)", text_of(fresh))
    assert len(by_hand) == 5
    for ours, theirs in by_hand:
        assert float(ours) == pytest.approx(float(theirs), abs=0.011)


def test_the_tour_takes_what_the_package_offers(repository: Path) -> None:
    tour = nbformat.read(repository / "docs" / "tour.ipynb", as_version=4)
    code = "\n".join(
        "" if line.startswith("%") else line
        for cell in tour.cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
    )
    imported = {
        name
        for name, _ in imported_names(ast.parse(code), "tour")
        if name.startswith("hm3_jax")
    }
    assert imported == {"hm3_jax"}
    used = set(re.findall(r"\bhm3_jax\.(\w+)", code))
    assert len(used) > 10 and used <= set(hm3_jax.__all__)


@pytest.mark.parametrize(
    ("tags", "before", "after", "equal"),
    [
        ([], "5 rooms", "5 rooms", True),
        ([], "5 rooms", "6 rooms", False),
        (["trained"], "mAP 42.5 %", "mAP 44.1 %", True),
        (["trained"], "mAP 42.5 %", "mAP 12.5 %", False),
        (["trained"], "mAP 42.5 %", "R@1 42.5 %", False),
        (["ranked"], "1. harbour", "1. forest", True),
        (["ranked"], "1. harbour\n2. forest", "1. harbour", False),
    ],
)
def test_what_counts_as_different(
    tags: list[str], before: str, after: str, equal: bool
) -> None:
    stored, fresh = (
        nbformat.v4.new_code_cell(
            metadata={"tags": tags},
            outputs=[nbformat.v4.new_output("stream", name="stdout", text=text)],
        )
        for text in (before, after)
    )
    assert (faults(stored, fresh) == []) == equal


def test_an_output_less_is_different() -> None:
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": "", "text/plain": ""}
    )
    stored, fresh = (
        nbformat.v4.new_code_cell(outputs=outputs) for outputs in ([picture], [])
    )
    assert faults(stored, fresh) != []


def faults(stored: Any, fresh: Any) -> list[str]:
    """Differences of a cell's outputs.

    Numbers of trained models depend on the processor: cells tagged "trained" may differ
    in numbers a little, and those tagged "ranked" in which museums they show.
    """
    before, after = outputs_of(stored), outputs_of(fresh)
    if [kinds for kinds, _ in before] != [kinds for kinds, _ in after]:
        return [f"{stored.id}: expected outputs {before}, found {after}"]
    tags = stored.metadata.get("tags", [])
    found = []
    for (_, expected), (_, text) in zip(before, after, strict=True):
        if "ranked" in tags:
            same = expected.count("\n") == text.count("\n")
        elif "trained" in tags:
            numbers = (map(float, _NUMBER.findall(of)) for of in (expected, text))
            same = _NUMBER.sub("#", expected) == _NUMBER.sub("#", text) and all(
                abs(a - b) <= 0.1 + 0.25 * max(a, b)
                for a, b in zip(*numbers, strict=True)
            )
        else:
            same = expected == text
        if not same:
            found.append(f"{stored.id}: expected {expected!r}, found {text!r}")
    return found


def outputs_of(cell: Any) -> list[tuple[list[str], str]]:
    """For each output its kinds and what of it is text."""
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found.append(([output.name], output.text))
        else:
            data = output.data
            # The words beside a picture are its size, which is Matplotlib's choice.
            words = "" if "image/png" in data else data["text/plain"]
            text = data.get("text/markdown", words)
            found.append((sorted(data), text))
    return found


def text_of(notebook: Any) -> str:
    """All text that cells have shown."""
    return "\n".join(
        text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for _, text in outputs_of(cell)
    )
