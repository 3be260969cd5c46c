"""TensorBoard's event files, written without TensorFlow.

The records are written here and now, not by TensorBoard's own writer, which writes in a
thread: nobody would hear of its errors, such as a full disk.
"""

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from hm3_jax.files.errors import naming
from hm3_jax.files.extras import how_to_install
from hm3_jax.tracking.tracker import (
    Ending,
    TrackedEpoch,
    TrackedRun,
    numbers_of,
)


class TensorBoard:
    """An event file in each try's folder, for `tensorboard --logdir=WORKDIR`."""

    name = "tensorboard"

    def __init__(self) -> None:
        """Writes nothing yet.

        Raises:
            ValueError: TensorBoard is not installed.
        """
        try:
            # Their classes are made when they are imported, which type checkers miss.
            event_pb2: Any = import_module("tensorboard.compat.proto.event_pb2")
            summary_pb2: Any = import_module("tensorboard.compat.proto.summary_pb2")
            from tensorboard.plugins.histogram.summary_v2 import histogram_pb
            from tensorboard.plugins.scalar.summary_v2 import scalar_pb
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ValueError(
                f"--log=tensorboard needs TensorBoard ({error}): "
                f"{how_to_install('logging')}"
            ) from None
        self._event, self._session = event_pb2.Event, event_pb2.SessionLog
        self._summary = summary_pb2.Summary
        self._scalar, self._histogram = scalar_pb, histogram_pb
        self._record = RecordWriter
        # Viewers read a folder's files in the order of their names.
        self._file = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{os.getpid()}"

    def begin(self, run: TrackedRun) -> None:
        """Begins a file; what an earlier one has of later epochs no longer counts."""
        start = self._session(status=self._session.START)
        self._write(
            run.folder,
            self._event(file_version="brain.Event:2"),
            self._event(step=run.finished_epochs + 1, session_log=start),
        )

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        """Appends an epoch's numbers and distributions, with the epoch as the step."""
        summary = self._scalars(epoch.scalars())
        for name, values in epoch.samples.items():
            summary.MergeFrom(self._histogram(name, values))
        self._write(run.folder, self._event(step=epoch.number, summary=summary))

    def end(self, run: TrackedRun, ending: Ending) -> None:
        """Appends the test's metrics."""
        summary = self._scalars(numbers_of({"test": ending.test}))
        self._write(run.folder, self._event(step=ending.epoch, summary=summary))

    def close(self) -> None:
        """Nothing: no file is kept open, as a sweep has more runs than files fit."""

    def abandon(self) -> None:
        """Nothing, for the same reason."""

    def _scalars(self, numbers):
        summary = self._summary()
        for name, value in numbers.items():
            summary.MergeFrom(self._scalar(name, value))
        return summary

    def _write(self, folder: Path, *events) -> None:
        now = time.time()
        path = folder / self._file
        with naming(path), path.open("ab") as file:
            record = self._record(file)
            for event in events:
                event.wall_time = now
                record.write(event.SerializeToString())
