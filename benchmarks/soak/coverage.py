"""Whether every kind of file that commands leave is among those that are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from benchmarks.soak.commands import ARTEFACTS, COMMANDS, INPUTS, NOT_READ
from benchmarks.soak.damage import files_of, kind_of

_EMPTY = hashlib.sha256(b"").hexdigest()


def damaged_kinds(world: Path) -> list[str]:
    """Kinds of the files that there are to be damaged, each after its artefact."""
    return sorted(
        {
            f"{artefact.name}: {kind_of(path.relative_to(artefact))}"
            for artefact in world.iterdir()
            if artefact.name not in INPUTS
            for path in files_of(artefact)
        }
    )


def left_alone(
    world: Path, left: Mapping[str, Mapping[str, Mapping[str, str]]]
) -> list[str]:
    """Kinds of files that commands leave and that no artefact has.

    Args:
        world: Folder of the artefacts.
        left: What each command leaves, as `equality.contents` has it, by the names of
            commands and outputs.
    """
    covered: dict[str, set[str]] = {}
    for artefact, (_, output) in ARTEFACTS.items():
        for path in files_of(world / artefact):
            kind = kind_of(path.relative_to(world / artefact))
            covered.setdefault(output, set()).add(kind)
    found = set()
    for name, outputs in left.items():
        if COMMANDS[name].kind != "writes":
            continue
        for output, files in outputs.items():
            what = output_of(output)
            kinds = {
                kind_of(Path(file))
                for file, content in files.items()
                if not file.endswith("/") and content != _EMPTY
            }
            if what not in NOT_READ:
                found |= {
                    f"{what}: {kind}" for kind in kinds - covered.get(what, set())
                }
    return sorted(found)


def output_of(path: str) -> str:
    """What an output is: its name, or that of the output that its artefact was."""
    name = Path(path).name
    return ARTEFACTS[name][1] if path.startswith("in/") else name
