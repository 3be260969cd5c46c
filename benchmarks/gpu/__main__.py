"""Says and measures everything of a GPU: `bash launch/gpu_check.sh` runs this.

python -m benchmarks.gpu [--minutes=9] [--output=gpu_check] [--work=DIR] [--miniature]

Writes OUTPUT/results.json and OUTPUT/results.md, with every number as soon as it is
there, so that a run that is cut says what it knows. Stages come in order of worth and
share the minutes; a step that fails, hangs or asks for what is not installed is
recorded with the reason, and the next one begins. Generated data stay in WORK/data for
another run, and what processes printed in WORK/logs. --miniature does the same as small
as it can be, on a CPU; --stages does some of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.results import REPORT, Results
from benchmarks.gpu.setting import Setting, miniature
from benchmarks.gpu.stages import GRID, STAGES, Stage, environment
from benchmarks.gpu.tables import predicted_grid_seconds
from benchmarks.gpu.watched import carry_out
from benchmarks.in_process import REPOSITORY


def main() -> int:
    """Measures; the exit code is 1 where a step failed or was stopped."""
    parser = argparse.ArgumentParser(
        prog="launch/gpu_check.sh", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--output", type=Path, default=Path("gpu_check"))
    parser.add_argument(
        "--work", type=Path, help="folder of generated data and logs; OUTPUT without it"
    )
    parser.add_argument("--miniature", action="store_true", help="a rehearsal on a CPU")
    parser.add_argument("--stages", help="some of them alone, with commas")
    given = parser.parse_args()
    # What is under way has processes of its own, which must not be left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.minutes <= 0:
        parser.error(f"--minutes: expected more than 0, found {given.minutes}")
    stages = _chosen(given.stages, parser)
    output = given.output.resolve()
    work = (given.work or output).resolve()
    data, logs = work / "data", work / "logs"
    setting = miniature(data) if given.miniature else Setting(data)
    results = Results(output, miniature=given.miniature, minutes=given.minutes)
    for folder in (data, logs):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.data", setting.to_text()]
    with (logs / "data.log").open("wb") as log:
        making = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _measure(stages, setting, results, Clock(given.minutes, stages), making, logs)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(making.pid, signal.SIGKILL)
        making.wait()
    print(f"\n{(output / REPORT).read_text()}\nwritten to {output / REPORT}")
    return 1 if {"failed", "stopped"} & results.states() else 0


def _measure(
    stages: Sequence[Stage],
    setting: Setting,
    results: Results,
    clock: Clock,
    making: subprocess.Popen[bytes],
    logs: Path,
) -> None:
    """Carries out stages, all that can be."""
    for stage in stages:
        if _on_one_device(results):
            for other in stages:
                if other.for_several:
                    clock.forget(other)
        reason = _reason_to_skip(stage, results, clock, setting)
        if reason is None and stage.needs is not None:
            reason = _not_there(getattr(setting, stage.needs), making, clock)
        if reason is not None:
            clock.forget(stage)
            for step in stage.steps:
                results.ended(stage.name, step.name, "left out", error=reason)
            continue
        print(f"{stage.name}: {clock.left:.0f} s left", flush=True)
        carry_out(
            stage,
            setting,
            results,
            clock,
            environment(stage, setting),
            logs / f"{stage.name.replace(' ', '_')}.log",
        )


def _chosen(names: str | None, parser: argparse.ArgumentParser) -> tuple[Stage, ...]:
    known = {stage.name: stage for stage in STAGES}
    wanted = names.split(",") if names else list(known)
    for name in wanted:
        if name not in known:
            parser.error(f"--stages: expected some of {', '.join(known)}, found {name}")
    return tuple(known[name] for name in wanted)


def _not_there(path: Path, making: subprocess.Popen[bytes], clock: Clock) -> str | None:
    """Waits for generated data; why there are none."""
    while not path.exists():
        if making.poll() is not None:
            return "what it needs could not be generated, see data.log"
        if not clock.left:
            return "what it needs was not generated in time"
        time.sleep(0.1)
    return None


def _reason_to_skip(
    stage: Stage, results: Results, clock: Clock, setting: Setting
) -> str | None:
    if stage.for_several and _on_one_device(results) and not setting.miniature:
        return "there is one device"
    if stage.name != GRID or setting.miniature:
        return None
    seconds = predicted_grid_seconds(results.record)
    if seconds is None:
        return "33 runs at once were not measured"
    if seconds > clock.left:
        return f"it would take {seconds:.0f} s, and {clock.left:.0f} s are left"
    return None


def _on_one_device(results: Results) -> bool:
    said = {row["what"]: row.get("value") for row in results.rows("machine")}
    return said.get("devices") == "1"


if __name__ == "__main__":
    sys.exit(main())
