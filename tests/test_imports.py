"""Which part of the package may import which, and where torch and JAX may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "hm3_jax"

# A room may import itself and what stands here. "nn.strategy" is that module alone.
ALLOWED: dict[str, set[str]] = {
    "data": {"files", "interop"},
    "extraction": {"data", "files"},
    "files": set(),
    "interop": {"files", "nn.strategy", "nn.strategy_json"},
    "learn": {"data", "files", "nn", "objective", "tracking"},
    "nn": {"files"},
    "objective": set(),
    "reporting": {"files", "objective.metric_table"},
    "search": {"files"},
    "tracking": {"files"},
}
TORCH_ROOMS = {"extraction", "interop"}
TORCH_PACKAGES = {"av", "open_clip", "torch", "torchvision"}


class Import(NamedTuple):
    """One imported module, seen in one module of the package."""

    importer: str  # dotted name below the package, "data.store"
    name: str  # dotted name of what is imported, "hm3_jax.nn.ragged"
    at_import: bool  # runs when the importer is imported, not when called


def test_rooms_import_only_what_they_may(repository: Path) -> None:
    assert direction_faults(imports_of(repository / PACKAGE)) == []


def test_nobody_imports_an_entry(repository: Path) -> None:
    folder = repository / PACKAGE
    assert entry_faults(imports_of(folder), entries_of(folder)) == []


def test_torch_is_imported_only_where_it_may_and_only_when_used(
    repository: Path,
) -> None:
    assert torch_faults(imports_of(repository / PACKAGE)) == []


def test_data_and_interop_load_neither_jax_nor_torch(repository: Path) -> None:
    modules = [
        f"{PACKAGE}.{name}"
        for name in modules_of(repository / PACKAGE)
        if name.split(".")[0] in {"data", "files", "interop"}
    ]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print(sorted({'jax', 'flax', 'torch'} & set(sys.modules)))"
    )
    assert modules
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == "[]\n"


@pytest.mark.parametrize(
    ("path", "code", "fault"),
    [
        ("nn/a.py", "from hm3_jax.data import store", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "from hm3_jax import data", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "from ..data import b", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "def f():\n  import hm3_jax.data", "nn.a imports hm3_jax.data"),
        ("interop/a.py", "import hm3_jax.nn.towers", "interop.a imports hm3_jax.nn"),
        ("data/a.py", "from hm3_jax import cli", "data.a imports hm3_jax.cli.frame"),
        ("cellar/a.py", "import hm3_jax.nn", "cellar.a is in a room without a rule"),
        ("nn/a.py", "from hm3_jax import train", "nn.a imports hm3_jax.train"),
        ("cli.py", "from hm3_jax import train", "cli imports hm3_jax.train"),
        ("interop/a.py", "import torch", "interop.a imports torch at once"),
        ("interop/a.py", "class A:\n  import torch", "interop.a imports torch at once"),
        ("nn/a.py", "def f():\n  from torch import nn", "nn.a imports torch.nn"),
        ("train.py", "import torchvision", "train imports torchvision"),
    ],
)
def test_the_rules_notice(tmp_path: Path, path: str, code: str, fault: str) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(code)
    entry = tmp_path / "train.py"
    if not entry.exists():
        entry.write_text('if __name__ == "__main__":\n    pass\n')
    found = imports_of(tmp_path)
    faults = (
        direction_faults(found)
        + torch_faults(found)
        + entry_faults(found, entries_of(tmp_path))
    )
    assert any(line.startswith(fault) for line in faults)


def test_the_rules_let_pass(tmp_path: Path) -> None:
    (tmp_path / "interop").mkdir()
    (tmp_path / "interop" / "a.py").write_text(
        "from hm3_jax.nn import strategy\n"
        "from hm3_jax.nn.strategy_json import load_strategy\n"
        "from hm3_jax import __version__\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import torch\n"
    )
    found = imports_of(tmp_path)
    assert direction_faults(found) + torch_faults(found) == []


def direction_faults(imports: list[Import]) -> list[str]:
    faults = []
    for importer, name, _ in imports:
        room = room_of(importer)
        target = name.removeprefix(f"{PACKAGE}.")
        if room is None or target == name or target.startswith("__"):
            continue
        if room not in ALLOWED:
            faults.append(f"{importer} is in a room without a rule: add it to ALLOWED")
        elif not any(
            target == allowed or target.startswith(f"{allowed}.")
            for allowed in ALLOWED[room] | {room}
        ):
            faults.append(f"{importer} imports {name}")
    return faults


def entry_faults(imports: list[Import], entries: set[str]) -> list[str]:
    return [
        f"{importer} imports {name}"
        for importer, name, _ in imports
        if name.removeprefix(f"{PACKAGE}.").split(".")[0] in entries
        and name.startswith(f"{PACKAGE}.")
    ]


def torch_faults(imports: list[Import]) -> list[str]:
    faults = []
    for importer, name, at_import in imports:
        if name.split(".")[0] in TORCH_PACKAGES:
            if room_of(importer) not in TORCH_ROOMS:
                faults.append(f"{importer} imports {name}")
            elif at_import:
                faults.append(f"{importer} imports {name} at once")
    return faults


def room_of(module: str) -> str | None:
    """The subpackage of a module; None for modules at the top of the package.

    What `python -m hm3_jax.ROOM` runs is an entry, as those at the top are.
    """
    room, dot, name = module.partition(".")
    return room if dot and name != "__main__" else None


def modules_of(folder: Path) -> dict[str, Path]:
    """Finds every module below `folder`; a subpackage is named "data.__init__"."""
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in sorted(folder.rglob("*.py"))
    }


def entries_of(folder: Path) -> set[str]:
    """The modules at the top of the package that are meant to be run."""
    return {
        path.stem
        for path in folder.glob("*.py")
        if any(
            isinstance(node, ast.If) and "'__main__'" in ast.unparse(node.test)
            for node in ast.parse(path.read_text()).body
        )
    }


def imports_of(folder: Path) -> list[Import]:
    return [
        Import(module, name, at_import)
        for module, path in modules_of(folder).items()
        for name, at_import in imported_names(
            ast.parse(path.read_text()), f"{PACKAGE}.{module}"
        )
    ]


def imported_names(
    node: ast.AST, module: str, at_import: bool = True
) -> Iterator[tuple[str, bool]]:
    """Lists what the code under `node` imports: (name, runs at import time).

    `from a import b` counts as a.b, whether b is a module or something in it: the rules
    look at beginnings of names.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            source = child.module or ""
            if child.level:
                parts = module.split(".")[: -child.level]
                source = ".".join([*parts, source] if source else parts)
            yield from ((f"{source}.{alias.name}", at_import) for alias in child.names)
        else:
            yield from imported_names(child, module, at_import and not waits(child))


def waits(node: ast.AST) -> bool:
    """Says whether code under `node` does not run when its module is imported."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
