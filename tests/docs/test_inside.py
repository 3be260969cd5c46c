"""What the page for contributors names is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_imports import ALLOWED, LAYERS

# Of a function or class, a name in a module, or a key of a file of settings.
DEFINITION = r"^\s*(?:(?:async )?def |class )?{}\b\s*[(:=]"
ROOMS = {room.split(".")[0] for room in set(ALLOWED) - set(LAYERS["entries"])}


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "docs" / "inside.md").read_text()


def quoted(text: str) -> Iterator[str]:
    return (found.rstrip(":") for found in re.findall(r"`([^`\n]+)`", text))


def file_of(repository: Path, name: str) -> Path | None:
    """A file or folder named from the top, or from the package."""
    found = (repository / part / name for part in ("", "hm3_jax"))
    return next((path for path in found if path.exists()), None)


def defines(path: Path, names: list[str]) -> bool:
    """Says whether `names`, one inside the other, are defined in a module."""
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for name in names:
        inner = [node for node in body if name in names_of(node)]
        if not inner:
            return False
        body = getattr(inner[0], "body", [])
    return True


def names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign | ast.Assign):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def resolves(package: Path, name: str) -> bool:
    """Says whether a dotted name is a folder, a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = package.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file():
            return defines(path.with_suffix(".py"), parts[length:])
        if path.is_dir():
            return length == len(parts)
    return False


def test_files_and_folders_are_there(repository: Path, text: str) -> None:
    named = {name for name in quoted(text) if re.fullmatch(r"[\w./]*/[\w./]*", name)}
    assert len(named) > 20
    assert {name for name in named if file_of(repository, name) is None} == set()


def test_modules_and_what_is_in_them_are_there(repository: Path, text: str) -> None:
    named = {
        name
        for name in quoted(text)
        if re.fullmatch(r"\w+(\.\w+)+", name)
        and name.split(".")[0] in ROOMS
        and not name.endswith(".json")
    }
    assert len(named) > 20
    missing = {n for n in named if not resolves(repository / "hm3_jax", n)}
    assert missing == set()


def test_where_to_change_what_is_true(repository: Path, text: str) -> None:
    rows = re.findall(
        r"^\| (.+) \| (.+) \|$", text.split("## Where to change")[1], re.M
    )
    assert len(rows) > 20
    for wish, places in rows[1:]:
        named = list(quoted(places))
        files = [path for name in named if (path := file_of(repository, name))]
        sources = [
            file.read_text()
            for path in files
            for file in ([path] if path.is_file() else sorted(path.glob("*.py")))
        ]
        assert files, wish
        for name in named:
            found = file_of(repository, name) or any(
                re.search(DEFINITION.format(re.escape(name)), source, re.M)
                for source in sources
            )
            assert found, f"{wish}: {name}"


def test_the_layers_are_those_of_the_import_rules(text: str) -> None:
    table = text.split("## Layers")[1].split("\n## ")[0]
    rooms = [list(quoted(row)) for row in re.findall(r"^\| ([^|]+) \|", table, re.M)]
    shown = [room for row in rooms for room in row if room in ALLOWED]
    expected = [sorted(rooms) for layer, rooms in LAYERS.items() if layer != "entries"]
    assert sorted(shown) == sorted(room for rooms in expected for room in rooms)
    order = [next(i for i, rooms in enumerate(expected) if r in rooms) for r in shown]
    assert order == sorted(order)
