"""The pages of the documentation, as Markdown, and the settings of the site.

README.md and docs/ are laid out as they lie in the repository, so that links between
them hold, with the tour and its outputs, a page for every command and one for every
module.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbconvert

REPOSITORY = Path(__file__).resolve().parents[2]
_SITE = Path(__file__).resolve().parent
PACKAGE = "hm3_jax"

_COMMANDS = """# Commands

What `python -m hm3_jax.NAME --help` prints. Flags may stand in a file, one a line:
`--flagfile=FILE`.
"""

# For pages that stand alone: no list of their neighbours takes up their width.
_WIDE = "---\nhide: [navigation]\n---\n\n"

_MAIN = ".__main__"

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
_EXAMPLE = re.compile(r"(?<=\n\n)(?:  .+\n)+")
_MARKUP = re.compile(r"[\\`*_<>\[\]|]")
_RUNS = re.compile(r"""run_module\(["']([\w.]+)""")
_FLAG = re.compile(r"  (--\S.*)\n((?:      .+\n?)+)")


def files_of(repository: Path) -> dict[str, bytes]:
    """All that the site is built from: path below the folder -> content."""
    modules = {
        ".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path.read_text(encoding="utf-8")
        for path in sorted((repository / PACKAGE).rglob("*.py"))
    }
    entries = commands_of(modules)
    rest = [
        name
        for name in modules
        if name not in entries.values() and not name.endswith(_MAIN)
    ]
    commands = dict(_command_pages(entries, repository))
    pages: dict[str, str | bytes] = {
        **_written_pages(repository),
        **_tour_page(repository / "docs" / "tour.ipynb"),
        "commands/index.md": _COMMANDS + _overview(commands),
        **{f"commands/{name}.md": page for name, page in commands.items()},
        **{_path(name, rest): f"::: {name}\n" for name in rest},
        "site.css": (_SITE / "site.css").read_bytes(),
    }
    navigation = [
        {"Commands": ["commands/index.md", *_named("commands", commands)]},
        {"Reference": _reference(rest)},
    ]
    settings = (_SITE / "site.yml").read_text(encoding="utf-8")
    settings = settings.replace("REPOSITORY", json.dumps(str(repository)))
    # JSON is YAML, too.
    settings += "".join(f"  - {json.dumps(item)}\n" for item in navigation)
    files = {f"docs_pages/{path}": page for path, page in pages.items()}
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in (files | {"mkdocs.yml": settings}).items()
    }


def commands_of(modules: Mapping[str, str]) -> dict[str, str]:
    """Finds the modules that are meant to be run.

    Args:
        modules: Source of each module, by its full name. A `FOLDER/__main__.py` stands
            for the module that it runs, which is then called as the folder is.

    Returns:
        What follows `python -m hm3_jax.` -> full name of the module, in order.
    """
    called = {
        found[1]: name.removesuffix(_MAIN)
        for name, source in modules.items()
        if name.endswith(_MAIN) and (found := _RUNS.search(source))
    }
    commands = {
        called.get(name, name).removeprefix(f"{PACKAGE}."): name
        for name, source in modules.items()
        if "\nif __name__ ==" in source
    }
    return dict(sorted(commands.items()))


def help_page(command: str, text: str) -> str:
    """The page of a command.

    Args:
        command: What follows `python -m hm3_jax.`.
        text: What `--help` prints: the docstring, the usage, and sections, whose
            headings end in a colon, of flags with their explanations below, further in.

    Returns:
        Markdown.
    """
    docstring, _, rest = text.partition("\n\nUsage: ")
    usage, *sections = rest.split("\n\n")
    parts = [
        f"# {command}",
        # A docstring that ends with an example ends with its last line, too.
        _EXAMPLE.sub(lambda example: _fenced(example[0]) + "\n", docstring + "\n"),
        _fenced(usage),
    ]
    for section in sections:
        heading, _, rows = section.partition(":\n")
        parts.append(f"## {heading}")
        for flag, explained in _FLAG.findall(rows):
            escaped = _MARKUP.sub(r"\\\g<0>", " ".join(explained.split()))
            parts.append(f"`{flag}`\n:   {escaped}")
    return "\n\n".join(parts)


def _fenced(code: str) -> str:
    return f"```bash\n{textwrap.dedent(code).rstrip()}\n```"


def _command_pages(
    entries: Mapping[str, str], repository: Path
) -> Iterator[tuple[str, str]]:
    """The commands' pages, by what follows `python -m hm3_jax.`."""

    def help_of(command: str) -> str:
        text = subprocess.run(
            [sys.executable, "-m", f"{PACKAGE}.{command}", "--help"],
            cwd=repository,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # A module that another name runs says its own.
        return text.replace(f"-m {entries[command]} ", f"-m {PACKAGE}.{command} ")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for command, text in zip(entries, pool.map(help_of, entries), strict=True):
            yield command, help_page(command, text)


def _overview(commands: Mapping[str, str]) -> str:
    """A table of commands, each with the first line of what its page says."""
    rows = [
        f"| [`{name}`]({name}.md) | {page.splitlines()[2]} |"
        for name, page in commands.items()
    ]
    return "\n".join(["", "| command | does |", "|---|---|", *rows])


def _written_pages(repository: Path) -> dict[str, str | bytes]:
    """The repository's own pages, the guides, and files that they show or link to."""
    pages: dict[str, str | bytes] = {}
    own = [
        repository / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")
    ]
    for path in [*own, *sorted((repository / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for link in _LINK.findall(text):
            target = (path.parent / link).resolve()
            if target.suffix not in (".md", ".ipynb"):
                pages[target.relative_to(repository).as_posix()] = target.read_bytes()
        name = path.relative_to(repository).as_posix()
        text = text.replace("tour.ipynb)", "tour.md)")
        if name == "README.md":
            name, text = "index.md", _WIDE + text
        pages[name] = text
    return pages


def _tour_page(path: Path) -> dict[str, str | bytes]:
    """The notebook, and the pictures among its outputs."""
    exporter = nbconvert.MarkdownExporter()
    text, resources = exporter.from_filename(
        str(path), {"output_files_dir": "tour_files", "unique_key": "tour"}
    )
    pictures = {f"docs/{name}": data for name, data in resources["outputs"].items()}
    return {"docs/tour.md": _WIDE + text, **pictures}


def _named(folder: str, names: Iterable[str]) -> list[dict[str, Any]]:
    return [{name: f"{folder}/{name}.md"} for name in names]


def _path(module: str, modules: Collection[str]) -> str:
    """The page of a module; that of a subpackage is the index of a folder."""
    parts = ["reference", *module.split(".")[1:]]
    if any(other.startswith(f"{module}.") for other in modules):
        parts.append("index")
    return "/".join(parts) + ".md"


def _reference(modules: Collection[str]) -> list[Any]:
    """The modules' pages, with those of a subpackage below its own."""
    sections: dict[str, list[Any]] = {}
    for module in sorted(modules):
        parent, _, name = module.rpartition(".")
        page = _path(module, modules)
        if page.endswith("/index.md"):
            sections[module] = [page]
            if parent:
                sections[parent].append({name: sections[module]})
        else:
            sections[parent].append({name: page})
    return sections[PACKAGE]


def lay_out(folder: Path) -> Path:
    """Writes what changed into a folder, and removes pages that are no more.

    Returns:
        The settings of the site.
    """
    files = files_of(REPOSITORY)
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in (folder / "docs_pages").rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    return folder / "mkdocs.yml"
