"""Which part of the package may import which, and where torch and JAX may be."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.commands import output_of

PACKAGE = "hm3_jax"

# From top to bottom, a layer's rooms with what each may import besides itself. A room
# is the longest of these names that begins a module's name; "nn.strategy" in a set is
# that module alone. Nothing imports what stands above it, or beside it in its layer.
LAYERS: dict[str, dict[str, set[str]]] = {
    # Flags, the dataclasses that they fill, and one call.
    "entries": {
        "__main__": {"cli"},
        "build_index": {"app", "cli", "data", "learn.devices"},
        "collection": {"app", "cli", "learn.devices"},
        "compress_video": {"cli", "extraction"},
        "convert": {"app", "cli", "nn"},
        "evaluate": {"app", "cli", "data", "files", "learn.devices", "reporting"},
        "export_features": {"cli", "data"},
        "extract": {"cli", "data", "extraction"},
        "import_features": {"cli", "data", "files"},
        "inspect": set(),
        "inspect_features": {"cli", "data"},
        "make_configs": {"cli", "nn"},
        "prepare": {"cli", "data", "files"},
        "report": {"cli", "files", "reporting"},
        "search": {"app", "cli", "files", "learn.devices", "retrieval"},
        "serve": {"app", "cli", "learn.devices", "retrieval"},
        "sweep": {"app", "cli", "files", "learn.saved", "learn.training", "nn"},
        "synthesize": {"cli", "data"},
        "train": {"app", "cli", "files", "learn.saved", "learn.training", "nn"},
    },
    "command line": {
        "cli": {
            "app",
            "data",
            "extraction",
            "files",
            "learn.batches",
            "learn.devices",
            "learn.saved",
            "learn.settings",
            "learn.training",
            "nn",
            "objective.sample_size",
            "retrieval",
            "tracking",
        },
    },
    "application": {
        "app": {
            "data",
            "extraction",
            "files",
            "interop",
            "learn",
            "nn",
            "objective",
            "reporting",
            "retrieval",
            "tracking",
        },
    },
    "training": {
        "learn.training": {
            "data",
            "files",
            "learn.batches",
            "learn.devices",
            "learn.evaluation",
            "learn.model",
            "learn.saved",
            "learn.settings",
            "nn",
            "objective",
            "tracking",
        },
    },
    "evaluation": {
        "learn.evaluation": {
            "data",
            "files",
            "learn.batches",
            "learn.devices",
            "learn.model",
            "learn.saved",
            "nn",
            "objective",
        },
    },
    "saved runs": {
        "learn.saved": {
            "data",
            "files",
            "learn.batches",
            "learn.model",
            "learn.settings",
            "nn",
        },
    },
    "search without training": {
        "learn.zero_shot": {"data", "learn.batches", "learn.model", "nn"},
    },
    "settings": {"learn.settings": {"learn.batches", "nn", "objective"}},
    "batches": {
        "learn.batches": {"data", "files", "learn.devices", "learn.model", "nn"},
    },
    "rooms that do not know each other": {
        "extraction": {"data", "files"},
        "interop": {
            "files",
            "interop.torch_files",
            "nn.interaction_strategy",
            "nn.strategy",
            "nn.strategy_json",
            "objective.metric_table",
        },
        "learn": set(),
        "learn.devices": {"data"},
        "learn.model": {"nn", "objective"},
        "reporting": {
            "files",
            "objective.metric_table",
            "objective.sample_size",
            "objective.similarity",
        },
        "retrieval": {"files", "objective.late_interaction", "objective.similarity"},
        "tracking": {"files"},
    },
    "data and mathematics": {
        "data": {"files", "interop.torch_files"},
        "nn": {"files", "objective.interaction_scores", "objective.similarity"},
    },
    "scores, losses, metrics": {"objective": set()},
    "files of PyTorch": {
        "interop.torch_files": {"files.content", "interop.torch_pickle"},
    },
    "files": {"files": set(), "interop.torch_pickle": {"interop.pickle_program"}},
    "operations of a pickle": {"interop.pickle_program": set()},
}
ALLOWED = {
    room: allowed for rooms in LAYERS.values() for room, allowed in rooms.items()
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


def test_every_module_is_in_a_room_and_every_rule_is_needed(repository: Path) -> None:
    folder = repository / PACKAGE
    modules = set(modules_of(folder)) - {"__init__"}
    assert {module for module in modules if room_of(module) is None} == set()
    assert set(ALLOWED) == {room_of(module) for module in modules}
    assert set(LAYERS["entries"]) == entries_of(folder) | {"__main__", "inspect"}
    imported = imports_of(folder)
    for room, allowed in ALLOWED.items():
        targets = [target_of(i) for i in imported if room_of(i.importer) == room]
        unused = {a for a in allowed if not any(begins(t, a) for t in targets)}
        # Flags may tell what the application takes.
        assert unused <= ({"app"} if room == "cli" else set()), room


def test_the_rules_point_downwards() -> None:
    layers = [set(rooms) for rooms in LAYERS.values()]
    for number, rooms in enumerate(LAYERS.values()):
        for room, allowed in rooms.items():
            for target in allowed:
                below = [name for layer in layers[number + 1 :] for name in layer]
                assert room_of(target) in below or any(
                    begins(name, target) for name in below
                ), f"{room} -> {target}"


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
    assert output_of(code, repository) == "[]\n"


@pytest.mark.parametrize(
    ("path", "code", "fault"),
    [
        ("nn/a.py", "from hm3_jax.data import store", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "from hm3_jax import data", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "from ..data import b", "nn.a imports hm3_jax.data"),
        ("nn/a.py", "def f():\n  import hm3_jax.data", "nn.a imports hm3_jax.data"),
        ("interop/a.py", "import hm3_jax.nn.towers", "interop.a imports hm3_jax.nn"),
        ("data/a.py", "from hm3_jax import cli", "data.a imports hm3_jax.cli"),
        ("cellar/a.py", "import hm3_jax.nn", "cellar.a is in a room without a rule"),
        ("nn/a.py", "from hm3_jax import train", "nn.a imports hm3_jax.train"),
        ("cli/a.py", "from hm3_jax import train", "cli.a imports hm3_jax.train"),
        ("app/a.py", "from hm3_jax.cli import frame", "app.a imports hm3_jax.cli"),
        ("learn/saved/a.py", "import hm3_jax.learn.training", "learn.saved.a imports"),
        ("train.py", "from hm3_jax.data import store", "train imports hm3_jax.data"),
        ("attic.py", "from hm3_jax.cli import frame", "attic is in a room without"),
        ("interop/a.py", "import torch", "interop.a imports torch at once"),
        ("interop/a.py", "class A:\n  import torch", "interop.a imports torch at once"),
        ("nn/a.py", "def f():\n  from torch import nn", "nn.a imports torch.nn"),
        ("train.py", "import torchvision", "train imports torchvision"),
    ],
)
def test_the_rules_notice(tmp_path: Path, path: str, code: str, fault: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(code)
    found = imports_of(tmp_path)
    faults = direction_faults(found) + torch_faults(found)
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
    for imported in imports:
        room, target = room_of(imported.importer), target_of(imported)
        if target == imported.name or imported.importer == "__init__":
            continue
        if room is None:
            faults.append(f"{imported.importer} is in a room without a rule")
        elif room_of(target) != room:
            if not any(begins(target, allowed) for allowed in ALLOWED[room]):
                faults.append(f"{imported.importer} imports {imported.name}")
    return faults


def torch_faults(imports: list[Import]) -> list[str]:
    faults = []
    for importer, name, at_import in imports:
        if name.split(".")[0] in TORCH_PACKAGES:
            if importer.split(".")[0] not in TORCH_ROOMS:
                faults.append(f"{importer} imports {name}")
            elif at_import:
                faults.append(f"{importer} imports {name} at once")
    return faults


def begins(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def target_of(imported: Import) -> str:
    """What is imported, below the package; what is not of the package, unchanged."""
    target = imported.name.removeprefix(f"{PACKAGE}.")
    return imported.name if target.startswith("__") else target


def room_of(name: str) -> str | None:
    """The room of a module or of something in it, None where no rule names one."""
    return max((room for room in ALLOWED if begins(name, room)), key=len, default=None)


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
