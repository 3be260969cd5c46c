"""Measurements in processes of their own, as thread pools disturb each other."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def measured(module: str, *arguments: str) -> dict[str, float]:
    """Runs `python -m MODULE ARGUMENT ...`, whose last line is its result in JSON.

    Raises:
        SystemExit: it failed; with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)} failed:\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {' '.join(arguments[:2])}: {result}", file=sys.stderr, flush=True)
    return result
