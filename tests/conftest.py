"""Settings and fixtures of all tests."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import settings

from tests import checked_shapes, left_out

REPOSITORY = Path(__file__).resolve().parent.parent

# Read by JAX when a test imports it: mixing dtypes by accident is an error, and
# several test processes share one GPU.
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Most of the time would go into compiling programs that run for milliseconds: this
# takes a quarter of it. `XLA_FLAGS= pytest` tests what users run.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)

# What one test compiles, in whichever process, no other has to. Set here because
# processes that tests start inherit it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _PROGRAMS = tempfile.TemporaryDirectory(prefix="hm3_jax_programs_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Compiling makes single examples slow, and a test has to fail for everybody or nobody.
settings.register_profile(
    "hm3_jax", deadline=None, derandomize=True, database=None, print_blob=True
)
settings.load_profile("hm3_jax")

checked_shapes.check_from_now_on()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(left_out)


RunModule = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def programs_of_other_modules_are_dropped() -> Iterator[None]:
    """Frees what a module has compiled.

    Every program maps memory, and a process that has all of this suite's has more
    mappings than Linux allows one: then XLA crashes while it compiles the next.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def shapes_are_not_checked() -> Iterator[None]:
    """For what a function itself says of shapes that do not fit."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


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
