"""Whether checkpoints of earlier versions belong to the run whose log is beside them.

They have neither the number of their try nor a checksum of the log, but both have the
scores of all epochs.
"""

import json

from hm3_jax.learn.saved.run import Run
from hm3_jax.learn.saved.run_folder import finished_lines
from hm3_jax.learn.training.stopping import TryProgress

_COMPARED = ("best_epoch", "best_score", "lowest_loss")


def check_fits_log(run: Run, saved: TryProgress, where: str) -> None:
    """Compares what a checkpoint says of scores with the log.

    Args:
        run: whose checkpoint it is.
        saved: the checkpoint's; one that has a checksum of the log is let pass.
        where: the checkpoint, for the message.

    Raises:
        ValueError: the log has other scores.
    """
    if saved.log_checksum is not None:
        return
    replayed = TryProgress()
    try:
        for text in finished_lines(run.folder, saved.epoch):
            line = json.loads(text)
            replayed = replayed.after_epoch(run.settings, line["val"], line["val_loss"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{run.folder}: metrics.jsonl: damaged: {error}") from None
    for name in _COMPARED:
        wanted, found = getattr(replayed, name), getattr(saved, name)
        if wanted != found:
            raise ValueError(
                f"{where}: expected the checkpoint of this run, whose metrics.jsonl "
                f"has {name} {wanted}, found that of one with {found}: put the right "
                "one there, or remove it"
            )
