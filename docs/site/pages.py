"""Lays out the pages of the documentation for Sphinx; run by `launch/docs.sh`.

  python docs/site/pages.py FOLDER

FOLDER gets README.md and docs/ as they lie in the repository, so that links between
them hold, the pages of docs/site, a page for every command and one for every module.
What is there and right already is left alone, so Sphinx reads only what is new.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docstrings import PACKAGE, to_restructured_text

REPOSITORY = Path(__file__).resolve().parents[2]

_LINK = re.compile(r"\[([^]]+)\]\((?!https?:|#)([^)#\s]+)\)")
_FLAG = re.compile(r"  (--\S.*)")


def pages_of(repository: Path) -> dict[str, bytes]:
    """All pages and pictures: path below the folder that Sphinx reads -> content."""
    modules = modules_of(repository)
    entries = [name for name, source in modules.items() if is_entry(source)]
    rest = {name: text for name, text in modules.items() if name not in entries}
    pages = {
        **dict(_written_pages(repository)),
        **dict(_command_pages(entries, repository)),
        **dict(_module_pages(rest)),
    }
    return {path: _encoded(page) for path, page in pages.items()}


def modules_of(repository: Path) -> dict[str, str]:
    """The package's modules, by full name, with their source."""
    return {
        ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path.read_text(encoding="utf-8")
        for path in sorted((repository / PACKAGE).rglob("*.py"))
    }


def is_entry(source: str) -> bool:
    """Whether a module is one to run."""
    return '\nif __name__ == "__main__":\n' in source


def help_page(entry: str, text: str) -> str:
    """The page of a command.

    Args:
        entry: Full name of its module.
        text: What `--help` prints: the docstring, then lines that end in a colon with
            flags below, and their explanations further in.

    Returns:
        reStructuredText.
    """
    docstring, _, flags = text.partition("\n\nUsage: ")
    usage, *sections = flags.split("\n\n")
    command = entry.removesuffix(".__main__")
    lines = [
        *_title(command.removeprefix(f"{PACKAGE}.")),
        *to_restructured_text(docstring.splitlines(), _nothing),
        "",
        ".. code-block:: text",
        "",
        *(f"   {line.strip()}" for line in usage.splitlines()),
        "",
        f".. program:: {command}",
        "",
    ]
    for section in sections:
        heading, *rows = section.splitlines()
        lines += [*_title(heading.rstrip(":"), "-")]
        for row in rows:
            flag = _FLAG.match(row)
            lines += (
                ["", f".. option:: {flag[1]}", ""] if flag else [f"   {_plain(row)}"]
            )
        lines.append("")
    return "\n".join(lines)


def _written_pages(repository: Path) -> Iterator[tuple[str, str | bytes]]:
    for path in sorted((repository / "docs" / "site").glob("*.md")):
        yield path.name, path.read_text(encoding="utf-8")
    for path in [repository / "README.md", *sorted((repository / "docs").glob("*.*"))]:
        name = path.relative_to(repository).as_posix()
        if path.suffix == ".md":
            yield name, _without_links_to_folders(path)
        elif path.is_file():
            yield name, path.read_bytes()


def _without_links_to_folders(path: Path) -> str:
    """A link into the repository that is no page of the site is only its text."""

    def shown(link: re.Match[str]) -> str:
        return link[1] if (path.parent / link[2]).is_dir() else link[0]

    return _LINK.sub(shown, path.read_text(encoding="utf-8"))


def _command_pages(
    entries: Iterable[str], repository: Path
) -> Iterator[tuple[str, str]]:
    def help_of(entry: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", entry.removesuffix(".__main__"), "--help"],
            cwd=repository,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts = dict(zip(entries, pool.map(help_of, entries), strict=True))
    rows = {}
    for entry, text in texts.items():
        name = entry.removeprefix(f"{PACKAGE}.").removesuffix(".__main__")
        rows[name] = text.partition("\n")[0]
        yield f"commands/{name}.rst", help_page(entry, text)
    text = (
        "What ``python -m hm3_jax.NAME --help`` prints. Flags may stand in a file, one "
        "a line: ``--flagfile=FILE``."
    )
    yield "commands/index.rst", _listing("Commands", [text], rows)


def _module_pages(modules: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """One page a module; a subpackage's and the package's own list what is in them."""
    below: dict[str, dict[str, str]] = {}
    for name, source in modules.items():
        parent = name.rpartition(".")[0]
        first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        below.setdefault(parent, {})[name] = first
    for name in modules:
        path = f"reference/{'index' if name == PACKAGE else name}.rst"
        text = [f".. automodule:: {name}"]
        if name == PACKAGE:
            yield path, _listing("Reference", text, below[name])
        elif name in below:
            yield path, _listing(name.removeprefix(f"{PACKAGE}."), text, below[name])
        else:
            yield path, "\n".join([*_title(name.removeprefix(f"{PACKAGE}.")), *text])


def _listing(title: str, text: Iterable[str], rows: Mapping[str, str]) -> str:
    """A page that lists others: name -> what it is."""
    lines = [*_title(title), *text, "", ".. list-table::", "   :class: listing", ""]
    for name, what in rows.items():
        shown = name.removeprefix(f"{PACKAGE}.")
        lines += [f"   * - :doc:`{shown} <{name}>`", f"     - {_plain(what)}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {name}" for name in rows)]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """One line of text, in which nothing is markup."""
    return to_restructured_text([text.strip()], _nothing)[0]


def _nothing(name: str) -> None:
    """No name of a help page is a reference."""


def _title(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]


def _encoded(page: str | bytes) -> bytes:
    return page if isinstance(page, bytes) else f"{page.rstrip()}\n".encode()


def main() -> None:
    """Writes what changed, and removes pages that are no more."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/site/pages.py FOLDER")
    folder = Path(sys.argv[1])
    pages = pages_of(REPOSITORY)
    for name, content in pages.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in pages:
            path.unlink()


if __name__ == "__main__":
    main()
