"""Strategies and flag files that come with the package, found by name from any folder.

They are `configs/` of the repository, which a wheel has inside the package.
"""

from pathlib import Path
from typing import Literal

Kind = Literal["strategies", "experiments"]

_ENDINGS = {"strategies": ".json", "experiments": ".cfg"}


def shipped_folder(kind: Kind) -> Path:
    """The folder that holds what comes with the package; may be absent."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return (inside if inside.is_dir() else package.parent / "configs") / kind


def shipped_names(kind: Kind) -> list[str]:
    """Names of all files that come with the package, sorted, such as "stl"."""
    folder, ending = shipped_folder(kind), _ENDINGS[kind]
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix()
        for path in folder.rglob(f"*{ending}")
    )


def found(name: str | Path, kind: Kind) -> Path:
    """The file or folder that is meant: a path, or else what comes with the package.

    Args:
        name: A path; or the name of a file below `shipped_folder`, with or without
            `configs/KIND/` in front and its ending; or of a folder there. A strategy's
            folder may be left out where no other has one of the name.
        kind: Where to look.

    Returns:
        `name` itself where nothing is found.

    Raises:
        ValueError: Several files that come with the package have the name.
    """
    path, folder, ending = Path(name), shipped_folder(kind), _ENDINGS[kind]
    if path.exists() or path.is_absolute():
        return path
    text = path.as_posix().removeprefix(f"configs/{kind}/")
    for candidate in (folder / text, folder / f"{text.removesuffix(ending)}{ending}"):
        if ".." not in candidate.parts and candidate.exists():
            return candidate
    stem = text.removesuffix(ending)
    named = [known for known in shipped_names(kind) if known.endswith(f"/{stem}")]
    if len(named) > 1:
        raise ValueError(f"{name}: expected one of {', '.join(named)}")
    return folder / f"{named[0]}{ending}" if named else path
