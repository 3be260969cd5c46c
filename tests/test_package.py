"""The wheel, installed away from the repository; images; what is said about both."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import hm3_jax

Run = Callable[..., str]


def built(repository: Path, folder: Path) -> Path:
    """The wheel of the repository."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=repository,
        capture_output=True,
        check=True,
    )
    (wheel,) = folder.glob("hm3_jax-*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    return built(repository, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Run:
    """Runs a program of a fresh environment in which nothing but the wheel is new."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=True, symlinks=True)
    bin_folder = folder / "env" / "bin"
    # The other packages are found where they are, and this repository is not, as lines
    # of .pth files are read where packages are installed only.
    packages = sysconfig.get_paths(
        vars={"base": str(folder / "env"), "platbase": str(folder / "env")}
    )["purelib"]
    Path(packages, "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [bin_folder / program, *arguments],
            cwd=elsewhere,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ("--no-deps", "--no-index", "--disable-pip-version-check")
    run("python", "-m", "pip", "install", *options, str(wheel))
    where = run("python", "-c", "import hm3_jax; print(hm3_jax.__file__)")
    assert where.startswith(packages)
    return run


@pytest.mark.thorough
def test_the_wheel_has_the_package_and_its_configurations(repository, wheel):
    kept = {
        path.relative_to(repository).as_posix()
        for path in (repository / "hm3_jax").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {
        f"hm3_jax/{path.relative_to(repository).as_posix()}"
        for path in (repository / "configs").rglob("*")
        if path.is_file()
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert len(shipped) > 20
    about = f"hm3_jax-{hm3_jax.__version__}.dist-info/"
    assert {n for n in names if not n.startswith(about)} == kept | shipped
    scripts = zipfile.ZipFile(wheel).read(f"{about}entry_points.txt").decode()
    assert "hm3-jax = hm3_jax.cli.console:main" in scripts


@pytest.mark.thorough
def test_the_installed_package_works_in_any_folder(installed):
    assert installed("hm3-jax", "--version") == f"hm3_jax {hm3_jax.__version__}\n"
    assert "\n  train  " in installed("hm3-jax")
    assert "\n  train  " in installed("python", "-m", "hm3_jax")
    installed("hm3-jax", "synthesize", "--museums=40", "--output=store")
    shown = installed(
        *("hm3-jax", "train", "--flagfile=stl", "--features=store", "--workdir=runs"),
        *("--config_files_dir=", "--config_files=pov_only/rnn_meanPoolProc"),
        *("--epochs=1", "--number_of_tries=1"),
    )
    assert "written to runs/STL" in shown
    installed(
        *("hm3-jax", "build_index", "--checkpoint=zero-shot", "--features=store"),
        "--output=index",
    )
    found = installed("hm3-jax", "search", "--index=index", "--query=A harbour.")
    assert re.search(r"^ +1\. .*museum\d+", found, re.M)
    installed("hm3-jax", "report", "--runs=runs", "--output=report", "--nofigures")
    code = "import hm3_jax; print(len(hm3_jax.open_index('index')))"
    assert installed("python", "-c", code) == "40\n"


def test_images_are_well_formed(repository):
    program = shutil.which(
        "hadolint", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    )
    if program is None:
        pytest.skip("hadolint is not installed")
    files = [repository / "Dockerfile", repository / "Dockerfile.gpu"]
    done = subprocess.run(
        [program, "--no-color", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_images_are_of_what_there_is(repository):
    project = (repository / "pyproject.toml").read_text()
    kept = (repository / ".dockerignore").read_text().split()
    for name in ("Dockerfile", "Dockerfile.gpu"):
        text = (repository / name).read_text()
        (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.M)
        for extra in extras.split(","):
            assert f"\n{extra} = [" in project
        copied = " ".join(re.findall(r"^COPY (.+) \S+$", text, re.M)).split()
        assert {f"!{path}" for path in copied} <= set(kept)
        for path in copied:
            assert (repository / path).exists()


def test_how_to_cite(repository):
    cited = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == hm3_jax.__version__
    assert {"authors", "message", "title"} <= cited.keys()
    paper = cited["preferred-citation"]
    assert {"authors", "title", "type", "year"} <= paper.keys()
    # README has it over several lines.
    readme = " ".join((repository / "README.md").read_text().split())
    assert " ".join(paper["title"].split()) in readme


def test_changes_are_told_of_this_version(repository):
    text = (repository / "CHANGELOG.md").read_text()
    newest = re.findall(r"^## (\S+)", text, re.M)[0].rstrip(",")
    assert newest == hm3_jax.__version__
