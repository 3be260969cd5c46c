"""What was found so far, kept on the disk from the first row on."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu.setting import Row
from benchmarks.gpu.tables import markdown
from hm3_jax.files.durable import write_whole
from hm3_jax.files.json_files import write_json

RESULTS, REPORT = "results.json", "results.md"


class Results:
    """The record of a run of the command, and its two files."""

    def __init__(self, folder: Path, *, miniature: bool, minutes: float):
        """Begins a record; replaces files of an earlier one.

        Args:
            folder: of the files, which is made.
            miniature: whether it is a rehearsal.
            minutes: that there are.
        """
        self._folder = folder
        began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.record: dict[str, Any] = {
            "began": began,
            "miniature": miniature,
            "minutes": minutes,
            "stages": {},
        }
        folder.mkdir(parents=True, exist_ok=True)
        self._write()

    def began(self, stage: str, step: str) -> None:
        """Notes that a step has begun."""
        steps = self.record["stages"].setdefault(stage, {})
        steps[step] = {"state": "begun", "rows": []}
        self._write()

    def found(self, stage: str, step: str, row: Row) -> None:
        """Adds a row to a step."""
        self.record["stages"][stage][step]["rows"].append(row)
        self._write()

    def ended(self, stage: str, step: str, state: str, **about: Any) -> None:
        """Notes how a step has ended.

        Args:
            stage: its stage.
            step: which one, begun or not.
            state: "done", "failed", "missing", "stopped" or "left out".
            about: seconds, and what went wrong.
        """
        steps = self.record["stages"].setdefault(stage, {})
        steps.setdefault(step, {"rows": []}).update(state=state, **about)
        self._write()

    def rows(self, stage: str) -> list[Row]:
        """All rows of a stage."""
        steps = self.record["stages"].get(stage, {})
        return [row for step in steps.values() for row in step["rows"]]

    def states(self) -> set[str]:
        """How steps have ended."""
        stages = self.record["stages"].values()
        return {step["state"] for steps in stages for step in steps.values()}

    def _write(self) -> None:
        write_json(self._folder / RESULTS, self.record)
        report = f"# What the GPU did\n\n{markdown(self.record)}"
        write_whole(self._folder / REPORT, report)
