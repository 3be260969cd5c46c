"""What commands, programs and documented scripts leave behind.

The fixture `run_module` runs a command of the package.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def succeed(
    result: subprocess.CompletedProcess[str], warning: str | None = None
) -> str:
    """Its output, having said nothing on stderr but possibly one warning."""
    assert result.returncode == 0, result.stderr
    if warning is None:
        assert result.stderr == ""
    else:
        (line,) = result.stderr.splitlines()
        assert line.startswith("warning: ") and warning in line
    return result.stdout


def fail(result: subprocess.CompletedProcess[str], complaint: str) -> None:
    """Checks that it refused its input in one line."""
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and complaint in line, line


def output_of(program: str, folder: Path) -> str:
    """What a Python program prints that runs in a folder."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def code_blocks(document: Path, language: str) -> list[str]:
    """The code of a language in a document."""
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


def output_of_script(blocks: Sequence[str], folder: Path, package: Path) -> str:
    """What shell code prints that runs in a folder, with hm3_jax as in `package`."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *blocks])],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(package),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
