"""Weights & Biases (W&B): a run there for each try, in a group for each experiment.

Where runs go is told in W&B's own way: WANDB_PROJECT (hm3_jax without it),
WANDB_ENTITY, WANDB_MODE=offline for machines without a network, WANDB_DIR.
"""

import os
import secrets
from pathlib import Path
from typing import Any

from hm3_jax.files.extras import how_to_install
from hm3_jax.files.json_files import read_object, write_json
from hm3_jax.tracking.tracker import (
    Ending,
    TrackedEpoch,
    TrackedRun,
    numbers_of,
)

_PROJECT = "hm3_jax"
# Of a try: the id of its run, so that one that goes on is the same run there.
_ID_FILE = "wandb_run.json"
# Seconds to upload what is left of a run; later, `wandb sync` does it.
_TO_UPLOAD = 45.0


class WeightsAndBiases:
    """Tells W&B; what was told is in WANDB_DIR or the try's folder, too."""

    name = "wandb"

    def __init__(self) -> None:
        """Looks whether W&B can be used; tells it nothing yet.

        Raises:
            ValueError: it is not installed, or nobody is logged in.
        """
        try:
            import wandb
        except ImportError as error:
            raise ValueError(
                f"--log=wandb needs W&B ({error}): {how_to_install('logging')}"
            ) from None
        self._wandb = wandb
        self._settings = wandb.Settings(
            silent=True, console="off", finish_timeout=_TO_UPLOAD
        )
        self._runs: dict[Path, Any] = {}
        is_online = wandb.setup(self._settings).settings.mode == "online"
        if is_online and not wandb.login(prompt=False, verify=False):
            raise ValueError(
                "--log=wandb: expected to be logged in, found no key: run wandb login, "
                "or set WANDB_API_KEY, or WANDB_MODE=offline"
            )

    def begin(self, run: TrackedRun) -> None:
        """Begins a run, or continues the one that the try had before."""
        if run.folder in self._runs:
            return
        self._runs[run.folder] = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            group=run.group,
            name=run.name.removeprefix(f"{run.group}/"),
            config=dict(run.facts),
            allow_val_change=True,
            id=_id(run.folder),
            resume="allow",
            # Runs that train together are all active at once.
            reinit="create_new",
            dir=None if "WANDB_DIR" in os.environ else run.folder,
            settings=self._settings,
        )

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        """Logs an epoch's numbers and distributions, with the epoch as the step."""
        distributions = {
            name: self._wandb.Histogram(values.tolist())
            for name, values in epoch.samples.items()
        }
        self._runs[run.folder].log(
            {**epoch.scalars(), **distributions}, step=epoch.number
        )

    def end(self, run: TrackedRun, ending: Ending) -> None:
        """Puts the test's metrics into the summary and ends the run."""
        there = self._runs.pop(run.folder)
        there.summary.update(numbers_of({"test": ending.test}))
        there.finish(exit_code=0 if ending.failure is None else 1)

    def close(self) -> None:
        """Ends the runs that have not ended; they may go on later."""
        while self._runs:
            self._runs.popitem()[1].finish()

    def abandon(self) -> None:
        """Takes back what W&B wants to do at the end of the process."""
        self._wandb.teardown()


def _id(folder: Path) -> str:
    path = folder / _ID_FILE
    if path.exists():
        return read_object(path, ("id",))["id"]
    found = secrets.token_hex(8)
    write_json(path, {"id": found})
    return found
