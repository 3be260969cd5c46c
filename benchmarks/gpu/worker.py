"""Carries out steps of a stage.

python -m benchmarks.gpu.worker MODULE SETTING STEP ...

What happens is told on stdout, a JSON object a line; whatever libraries print goes to
stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from benchmarks.gpu.setting import Setting


def main() -> None:
    """Carries out the steps; one that fails does not keep the others."""
    module, setting, *steps = sys.argv[1:]
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def tell(step: str, **news: Any) -> None:
        told.write(json.dumps({"step": step, **news}) + "\n")

    for step in steps:
        tell(step, state="begun")
        start = time.perf_counter()
        ended = _carried_out(module, step, Setting.of_text(setting), tell)
        tell(step, seconds=time.perf_counter() - start, **ended)


def _carried_out(module: str, step: str, setting: Setting, tell: Any) -> dict[str, str]:
    try:
        stage = importlib.import_module(module)
        for row in getattr(stage, step)(setting):
            tell(step, row=row)
    except ModuleNotFoundError as error:
        return {"state": "missing", "error": f"{error.name} is not installed"}
    except Exception as error:
        text = next(iter(str(error).splitlines()), "")
        return {"state": "failed", "error": f"{type(error).__name__}: {text}"}
    return {"state": "done"}


if __name__ == "__main__":
    main()
