"""The files around the package: scripts, requirements, README."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.commands import code_blocks

# Import names that are not the distribution's name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "faiss": "faiss-cpu",
    "jaxlib": "jax",
    "open_clip": "open-clip-torch",
    "orbax": "orbax-checkpoint",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
TEXT = {*".cfg .css .ipynb .json .md .py .sh .slurm .toml .txt .yml".split(), ""}


def test_requirements_are_those_of_the_project(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"]]
    for extra, requirements in project["optional-dependencies"].items():
        if extra != "cuda13":  # the other build of JAX
            declared += requirements
    listed = [
        line
        for line in (repository / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert merged(listed) == merged(declared)
    assert len(merged(listed)) == len(listed)
    for name, (specifier, _) in merged(listed).items():
        assert ">=" in specifier, f"{name} has no lower bound"


def test_imported_distributions_are_required(repository: Path) -> None:
    listed = (repository / "requirements.txt").read_text().splitlines()
    required = merged(line for line in listed if line and not line.startswith("#"))
    imported = {
        name
        for folder in ("hm3_jax", "tests", "benchmarks", "docs")
        for path in sorted((repository / folder).rglob("*.py"))
        for name in outside_imports(path, repository)
    }
    assert {"absl-py", "jax", "numpy"} <= imported
    # packaging comes with pytest.
    assert imported - set(required) - {"packaging"} == set()


def test_shell_scripts_are_well_formed(repository: Path) -> None:
    launch = repository / "launch"
    scripts = [*launch.glob("*.sh"), *launch.glob("*.slurm"), repository / ".ci/run"]
    assert len(scripts) > 3
    for script in scripts:
        done = subprocess.run(
            ["bash", "-n", str(script)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        text = script.read_text()
        assert text.startswith("#!/usr/bin/env bash\n#"), f"{script}: says not what for"
        assert "\nset -euo pipefail\n" in text


@pytest.mark.parametrize(
    ("script", "arguments", "code", "line"),
    [
        ("setup.sh", ["some"], 1, "setup: unknown mode 'some': expected full or core"),
        ("serve.sh", ["."], 2, "serve: no index at {cwd}; bash launch/demo.sh makes"),
        ("demo.sh", ["."], 2, "demo: {cwd}/. holds other things; name an empty or new"),
    ],
)
def test_scripts_refuse_wrong_input(
    repository: Path,
    tmp_path: Path,
    script: str,
    arguments: list[str],
    code: int,
    line: str,
) -> None:
    (tmp_path / "precious").touch()
    done = subprocess.run(
        ["bash", str(repository / "launch" / script), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(line.format(cwd=tmp_path))
    assert (tmp_path / "precious").exists()


def test_no_path_of_a_developers_machine(repository: Path) -> None:
    files = files_of(repository)
    assert repository / "README.md" in files
    folders = tuple("/" + folder for folder in ("work/", "home/", "root/", "Users/"))
    found = [
        f"{path.relative_to(repository)}: {line.strip()}"
        for path in files
        if path.suffix in TEXT
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(re.search(rf"(?<![\w.]){folder}", line) for folder in folders)
    ]
    assert found == []


def test_sections_of_docstrings_are_indented_by_four_spaces(repository: Path) -> None:
    heads = re.compile(
        r"(?m)^( *)(?:Args|Attributes|Raises|References|Returns|Yields):\n( *)"
    )
    found = [
        f"{path.relative_to(repository)}: {section[0]!r}"
        for path in files_of(repository)
        if path.suffix == ".py"
        for section in heads.finditer(path.read_text(encoding="utf-8"))
        if len(section[2]) - len(section[1]) != 4
    ]
    assert found == []


def test_readme_points_to_what_exists(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    paths = re.findall(
        r"(?:configs|launch|benchmarks|docs|hm3_jax|tests)/[\w./-]*", text
    )
    assert links and paths
    missing = [path for path in links + paths if not (repository / path).exists()]
    assert missing == []


@pytest.mark.thorough
def test_readme_commands_use_flags_that_exist(
    repository: Path, run_module: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    commands = commands_of(repository / "README.md")
    assert len(commands) > 3
    pages: dict[str, str] = {}
    for module, arguments in commands:
        if module not in pages:
            pages[module] = run_module(module, "--help").stdout
        for argument in arguments:
            name = argument.partition("=")[0].removeprefix("--")
            shown = re.search(rf"^  --(\[no\])?{name}\b", pages[module], re.MULTILINE)
            assert shown, f"{module} has no --{name}"


def commands_of(document: Path) -> list[tuple[str, list[str]]]:
    """The `python -m MODULE ARGUMENT ...` lines of a document's code blocks."""
    commands = []
    for block in code_blocks(document, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:2] == ["python", "-m"]:
                commands.append((words[2], words[3:]))
    return commands


def merged(requirements) -> dict[str, tuple[str, frozenset[str]]]:
    """Joins requirements of one distribution: name -> (specifier, extras)."""
    joined: dict[str, tuple[str, frozenset[str]]] = {}
    for requirement in map(Requirement, requirements):
        name = requirement.name.lower().replace("_", "-")
        specifier, extras = joined.get(name, (str(requirement.specifier), frozenset()))
        assert specifier == str(requirement.specifier), f"{name} has two bounds"
        joined[name] = (specifier, extras | requirement.extras)
    return joined


def outside_imports(path: Path, repository: Path) -> set[str]:
    """Distributions that a file imports, here and there or only in functions."""
    ours = {"hm3_jax", "tests", "benchmarks", "docs", "conftest"}
    ours |= {sibling.stem for sibling in path.parent.glob("*.py")}
    tops: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            tops.add(node.module.partition(".")[0])
    return {
        DISTRIBUTIONS.get(top, top).lower().replace("_", "-")
        for top in tops - ours - set(sys.stdlib_module_names)
    }


def files_of(repository: Path) -> list[Path]:
    """The repository's files, those about to be added too."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("this copy of the repository has no git history")
    return [
        path
        for name in listing.stdout.split("\0")
        if name and (path := repository / name).is_file()
    ]
