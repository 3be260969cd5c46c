"""`speed.jsonl` of a try: how long its epochs took, and when."""

import datetime
import json
import os

from hm3_jax.files.lines import text_file
from hm3_jax.tracking.tracker import Ending, TrackedEpoch, TrackedRun

NAME = "speed.jsonl"


class SpeedFile:
    """Appends a line per epoch; one computed again after a kill has two."""

    name = "jsonl"

    def begin(self, run: TrackedRun) -> None:
        """Drops the half of a line that a kill may have left."""
        path = run.folder / NAME
        if path.exists():
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        """Appends a line."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = {"epoch": epoch.number, **epoch.speed, "written": now}
        with text_file(run.folder / NAME, "a") as file:
            file.write(json.dumps(line) + "\n")

    def end(self, run: TrackedRun, ending: Ending) -> None:
        """Nothing: the test is in files of its own."""

    def close(self) -> None:
        """Nothing: no file is kept open."""

    def abandon(self) -> None:
        """Nothing, for the same reason."""
