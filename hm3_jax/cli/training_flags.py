"""Flags of every entry that trains, and the dataclasses they stand for.

Help pages need no JAX, so what takes it is imported once the flags are checked. The
functions take the parsed flags they read, because a sweep reads several sets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from absl import flags

from hm3_jax.cli import path_flags
from hm3_jax.cli.training_display import KINDS, Wording, display
from hm3_jax.data.open_features import FEATURES_HELP
from hm3_jax.files.text import is_text, readable
from hm3_jax.learn.settings import Execution, TrainSettings, check_ranges
from hm3_jax.nn.strategy_choice import load_strategies
from hm3_jax.tracking.tensorboard import TensorBoard
from hm3_jax.tracking.tracker import Tracker
from hm3_jax.tracking.weights_and_biases import WeightsAndBiases

if TYPE_CHECKING:
    from hm3_jax.app.training import TrainingOrder
    from hm3_jax.learn.batches.placement import DataPlacement
    from hm3_jax.learn.training.experiment import Experiment, Listeners

_FEATURES = path_flags.define_path("features", None, FEATURES_HELP, required=True)
_WORKDIR = path_flags.define_path(
    "workdir", None, "Folder that holds the experiments' folders.", required=True
)
_CONFIG_FILES = path_flags.define_paths(
    "config_files",
    [],
    "Strategy JSON files, or names of strategies that come with hm3_jax, such as "
    "pov_and_video/rnn_cnn1d_video, separated by commas.",
)
_CONFIG_FILES_DIR = path_flags.define_path(
    "config_files_dir",
    None,
    "Folder whose strategy JSON files are all trained; may be one that comes with "
    "hm3_jax: pov_and_video, pov_only, hierart or late_interaction.",
)
_EXPERIMENT_NAME = flags.DEFINE_string(
    "experiment_name", "experiment", "Name of the experiment and of its folder."
)
_EXPERIMENT_DESCRIPTION = flags.DEFINE_string(
    "experiment_description", "", "Free text, kept in experiment.json."
)
_TAGS = flags.DEFINE_list("tags", [], "Tags, kept in experiment.json.")
_RESUME = flags.DEFINE_bool(
    "resume", False, "Continue the experiments that are in their folders."
)
_GRACE_SECONDS = flags.DEFINE_float(
    "grace_seconds",
    60.0,
    "After SIGTERM or SIGUSR1 the epoch is finished and saved if that takes no longer "
    "than this; then the process ends with exit code 0.",
    lower_bound=0,
)
_RUNS_AT_ONCE = flags.DEFINE_integer(
    "runs_at_once",
    None,
    "Runs trained as one program; as many as fit into memory if not given.",
    lower_bound=1,
)
_NUM_DEVICES = flags.DEFINE_integer(
    "num_devices",
    None,
    "Devices to use; all if not given. Runs are spread over them, and remaining "
    "devices share batches.",
    lower_bound=1,
)
_DATA_PLACEMENT = flags.DEFINE_enum(
    "data_placement",
    "auto",
    ["device", "host", "auto"],
    "Where features are kept: all of them on every device, on the host (batches are "
    "sent ahead of time), or on the devices if they fit.",
)
_SAVE_EVERY_SECONDS = flags.DEFINE_float(
    "save_every_seconds",
    60.0,
    "Seconds between saves, besides the one at the end; 0 saves after every epoch.",
    lower_bound=0,
)
_LOG = flags.DEFINE_list(
    "log",
    ["jsonl"],
    "Where losses, metrics, gradient norms, themes in batches and speed go: jsonl "
    "(metrics.jsonl and speed.jsonl, always written), tensorboard, wandb (offline with "
    "WANDB_MODE=offline). One that fails is switched off with a warning.",
)
_PROGRESS = flags.DEFINE_enum(
    "progress",
    "auto",
    list(KINDS),
    "Bars, a line per epoch, or only the test results; auto is bars on a terminal and "
    "lines elsewhere.",
)

# What all common file systems have.
_MOST_BYTES_OF_A_NAME = 255


def _define(field: dataclasses.Field, kind: Any) -> flags.FlagHolder:
    """The flag of a setting, from its field of `TrainSettings`."""
    about = field.name, field.default, field.metadata["help"]
    if field.metadata["choices"] is not None:
        name, default, meaning = about
        choices = list(field.metadata["choices"])
        return flags.DEFINE_enum(name, cast(Any, default), choices, meaning)
    kinds = set(get_args(kind)) - {type(None)} or {kind}
    define: dict[type, Callable[..., flags.FlagHolder]] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
    }
    return define[kinds.pop()](*about)


_KINDS = get_type_hints(TrainSettings)
_SETTINGS = {
    field.name: _define(field, _KINDS[field.name])
    for field in dataclasses.fields(TrainSettings)
}


def given_experiment(
    values: flags.FlagValues,
    changes: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Experiment:
    """The experiment the flags ask for.

    Args:
        values: parsed flags.
        changes: other values for some of the settings, by name.
        name: another name than --experiment_name.

    Raises:
        ValueError: a setting is out of range or contradicts another, there is no
            strategy, or the name is not one of a folder.
        FileNotFoundError: a strategy file is missing.
    """

    def value(flag: flags.FlagHolder) -> Any:
        return values[flag.name].value

    if name is None:
        name = str(value(_EXPERIMENT_NAME))
    # A folder named ~ would be taken for the home by whoever removes it.
    if name in ("", "..") or name.startswith("~") or Path(name).name != name:
        raise ValueError(f"experiment_name: expected a folder's name, found {name!r}")
    if len(name.encode()) > _MOST_BYTES_OF_A_NAME:
        raise ValueError(
            f"experiment_name: expected at most {_MOST_BYTES_OF_A_NAME} bytes, as a "
            f"folder's name has, found {len(name.encode())}"
        )
    folder = Path(value(_WORKDIR)) / name
    if not is_text(str(folder.absolute())):
        # Checkpoints could not be saved there.
        raise ValueError(
            f"{readable(folder.absolute())}: expected a path in UTF-8, found another"
        )
    given = {
        field.name: value(_SETTINGS[field.name])
        for field in dataclasses.fields(TrainSettings)
    }
    strategies = load_strategies(value(_CONFIG_FILES), value(_CONFIG_FILES_DIR))
    given |= changes or {}
    check_ranges(given)
    if "jax" not in sys.modules:
        # Nothing else is said for some seconds.
        print("loading JAX", flush=True)
    settings = TrainSettings(**given)
    from hm3_jax.learn.training.experiment import Experiment

    return Experiment(
        strategies=strategies,
        settings=settings,
        folder=folder,
        name=name,
        description=value(_EXPERIMENT_DESCRIPTION),
        tags=value(_TAGS),
    )


def given_order(*, keep_going: bool = False) -> TrainingOrder:
    """What the flags ask for besides the experiments.

    Args:
        keep_going: whether runs that diverge are put aside.

    Raises:
        ValueError: a tracker is not known, not installed or not logged in.
    """
    trackers = _given_trackers()
    from hm3_jax.app.training import TrainingOrder

    execution = Execution(
        runs_at_once=_RUNS_AT_ONCE.value,
        num_devices=_NUM_DEVICES.value,
        data_placement=cast("DataPlacement", _DATA_PLACEMENT.value),
        save_every_seconds=_SAVE_EVERY_SECONDS.value,
        keep_going=keep_going,
    )
    return TrainingOrder(
        features=_FEATURES.value,
        execution=execution,
        resume=_RESUME.value,
        grace_seconds=_GRACE_SECONDS.value,
        trackers=trackers,
    )


def given_display(
    wording: Wording,
) -> Callable[[Sequence[Experiment]], contextlib.AbstractContextManager[Listeners]]:
    """How the flags want progress shown, in an entry's words."""
    return functools.partial(display, cast(str, _PROGRESS.value), wording)


def _given_trackers() -> list[Tracker]:
    """What the flags want informed of every run, besides the files in its folder.

    Raises:
        ValueError: one is not known, not installed or not logged in.
    """
    known: dict[str, type[Tracker]] = {
        "tensorboard": TensorBoard,
        "wandb": WeightsAndBiases,
    }
    for name in _LOG.value:
        if name not in known and name != "jsonl":
            raise ValueError(
                f"--log: expected some of jsonl, {', '.join(known)}, found {name!r}"
            )
    return [tracker() for name, tracker in known.items() if name in _LOG.value]
