"""Finds run folders and reads what is small in them; names what it cannot use."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hm3_jax.files.differences import differences
from hm3_jax.files.left_behind import is_left_behind
from hm3_jax.files.run_format import try_number
from hm3_jax.reporting.read_tries import (
    FoundTry,
    Say,
    date_of,
    entries,
    other_mean,
    read_try,
)
from hm3_jax.reporting.records import Run


def find_runs(folders: Sequence[Path], say: Say) -> list[Run]:
    """Reads all run folders below some folders.

    Args:
        folders: workdirs, experiments or folders of a strategy.
        say: told in one line each about what is not used, and why.

    Returns:
        Runs in the order of their folders, those without a finished try among them.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: there is no run folder.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            what = "a file" if folder.exists() else "none"
            raise FileNotFoundError(
                f"{folder}: expected a folder of runs, found {what}"
            )
        found |= dict.fromkeys(_strategy_folders(folder, say))
    if not found:
        named = ", ".join(map(str, folders))
        raise ValueError(f"{named}: expected run folders (with try_1), found none")
    names = _names(list(found))
    return [run for folder in found for run in _read_run(folder, names[folder], say)]


def _strategy_folders(top: Path, say: Say) -> list[Path]:
    def refused(error: OSError) -> None:
        say(f"{error.filename}: {error.strerror}; not reported")

    folders = []
    for here, below, _ in os.walk(top.resolve(), onerror=refused):
        below[:] = sorted(name for name in below if not is_left_behind(name))
        if any(map(try_number, below)):
            folders.append(Path(here))
            below.clear()
    experiments = {folder.parent for folder in folders}
    for experiment in sorted(experiments):
        for name in _listed(experiment, say):
            if experiment / name not in folders and top.resolve() not in folders:
                say(
                    f"{experiment}: experiment.json lists {name}, which has no tries "
                    "there; not reported"
                )
    return folders


def _listed(experiment: Path, say: Say) -> list[str]:
    """Strategies that experiment.json lists."""
    try:
        return [str(entry["base_name"]) for entry in entries(experiment)]
    except (ValueError, KeyError, TypeError) as error:
        say(f"{_reason(error, experiment)}; its runs' own files are used")
        return []


def _reason(error: Exception, folder: Path) -> str:
    if isinstance(error, ValueError):
        return str(error)
    return f"{folder}: expected the files of runs, found them without {error}"


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last two parts of each path, or as many as tell the folders apart."""
    for parts in range(2, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return dict(zip(folders, names, strict=True))
    return {folder: str(folder) for folder in folders}


def _read_run(folder: Path, name: str, say: Say) -> list[Run]:
    """One run; several where tries of one folder do not belong together."""
    groups: dict[Any, list[FoundTry]] = {}
    unknown: dict[int, str] = {}
    for number, path in sorted(_tries(folder).items()):
        try:
            found = read_try(path, number, say)
        except (ValueError, KeyError, TypeError, OSError) as error:
            say(f"{_reason(error, path)}; the try is left out")
            unknown[number] = "unreadable"
            continue
        decides = [found.settings, found.config]
        key = (json.dumps(decides, sort_keys=True, default=str), found.data)
        groups.setdefault(key, []).append(found)
    if not groups:
        say(f"{folder}: none of its tries can be read; not reported")
        return []
    if len(groups) > 1:
        say(
            f"{folder}: its tries have different settings or features "
            f"({_difference([group[0] for group in groups.values()])}); they are "
            "reported apart"
        )
    runs = []
    for group in groups.values():
        numbers = "+".join(str(found.number) for found in group)
        alone = len(groups) == 1
        asked = int(group[0].settings.get("number_of_tries") or 1) if alone else 0
        states = {found.number: found.state for found in group if found.state}
        if alone:
            states |= unknown
            there = {found.number for found in group} | unknown.keys()
            states |= {n: "missing" for n in range(1, asked + 1) if n not in there}
        runs.append(
            Run(
                name=name if alone else f"{name} (tries {numbers})",
                folder=folder,
                strategy=folder.name,
                settings=group[0].settings,
                config=group[0].config,
                date=date_of(folder.parent),
                data=group[0].data,
                tries=tuple(found.tested for found in group if found.tested),
                asked=max(asked, len(group)),
                states=dict(sorted(states.items())),
            )
        )
    for run in runs:
        if run.state:
            say(f"{run.folder}: {run.state}")
    return [run for run in runs if not _is_of_another(run, say)]


def _is_of_another(run: Run, say: Say) -> bool:
    """Says of tests that are not those that experiment.json has under this name."""
    other = other_mean(run.folder, run.tries) if run.tries else None
    if other is not None:
        metric, wanted, found = other
        say(
            f"{run.folder}: expected a mean {metric} of {wanted:g}, as experiment.json "
            f"has it, found {found:g}: edited, or of another run; not reported"
        )
    return other is not None


def _tries(folder: Path) -> dict[int, Path]:
    numbers = {path: try_number(path) for path in folder.iterdir()}
    return {number: path for path, number in numbers.items() if number}


def _difference(firsts: Sequence[FoundTry]) -> str:
    a, b = firsts[:2]
    if a.data != b.data:
        return f"{a.data} and {b.data}"
    for one, other in ((a.settings, b.settings), (a.config, b.config)):
        for key, before, now in differences(one, other):
            return f"{key} {before} and {now}"
    return "unequal"
