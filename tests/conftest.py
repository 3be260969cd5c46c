"""Settings and fixtures of all tests."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Read by JAX when a test imports it: mixing dtypes by accident is an error, and
# several test processes share one GPU.
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Compiling makes single examples slow, and a test has to fail for everybody or nobody.
settings.register_profile(
    "hm3_jax", deadline=None, derandomize=True, database=None, print_blob=True
)
settings.load_profile("hm3_jax")

RunModule = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with the numbers that the published system computed."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture
def run_module(tmp_path: Path) -> RunModule:
    """Runs `python -m MODULE ARGUMENT ...` in a temporary folder, as a user would.

    Nothing is checked: tests look at `returncode`, `stdout` and `stderr`.
    """

    def run(
        module: str, *arguments: str | Path, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
