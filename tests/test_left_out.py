"""What the last lines say of tests that did not run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.left_out import lines_of

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.slow
def test_slow():
    raise AssertionError

@pytest.mark.thorough
@pytest.mark.parametrize("number", [1, 2])
def test_thorough(number):
    raise AssertionError

@pytest.mark.skipif(True, reason="takes Chromium")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_page(number):
    raise AssertionError

def test_torch():
    pytest.importorskip("torch_that_is_missing")
"""
INI = "[pytest]\nmarkers =\n    slow\n    thorough\n"
CONFTEST = (
    "from tests import left_out\n"
    "def pytest_configure(config):\n"
    "    config.pluginmanager.register(left_out)\n"
)


@pytest.mark.parametrize(
    "processes", ["0", pytest.param("2", marks=pytest.mark.thorough)]
)
def test_the_last_lines_name_what_was_left_out(
    tmp_path: Path, repository: Path, processes: str
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", f"--numprocesses={processes}"]
        + ["-m", "not slow and not thorough", f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    section = done.stdout.partition("left out, and how to run it")[2]
    assert section.splitlines()[1:5] == [
        "3 (takes Chromium): apt-get install chromium, or its program in CHROMIUM",
        "1 (could not import 'torch_that_is_missing': No module named "
        "'torch_that_is_missing'): bash launch/test.sh without HM3_JAX_SETUP=core",
        "1 (marked slow): bash launch/test.sh --long",
        "2 (marked thorough): bash launch/test.sh --thorough",
    ]


def test_reasons_that_one_command_mends_are_one_line() -> None:
    assert lines_of(["needs torch", "needs Pillow", "needs torch", "full moon"]) == [
        "3 (needs Pillow; needs torch): bash launch/test.sh without HM3_JAX_SETUP=core",
        "1 (full moon)",
    ]
