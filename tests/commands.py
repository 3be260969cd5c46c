"""What a command of the package left behind, see the fixture `run_module`."""

import subprocess


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
