"""How many described museums training needs: quality against their number.

python -m benchmarks.learning_curve --flagfile=configs/experiments/late_interaction.cfg
    --features=STORE --workdir=FOLDER --museums=50,200,1000,7000 --epochs_of=40,40,16,8

Trains the flag file's strategy on the first museums of the training split, as many as
are asked for, and tests each model and search without training on the same test split:
with whole descriptions and with one sentence. Prints a JSON line for each, and writes
FOLDER/learning_curve.svg (.png, .pdf, .csv). FOLDER must not hold those runs yet, but
the figure alone is drawn again from a --figure_of=FOLDER/learning_curve.json.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from hm3_jax.app.models import load_checkpoint
from hm3_jax.cli import frame, path_flags
from hm3_jax.cli.training_flags import given_experiment
from hm3_jax.data.open_features import open_features
from hm3_jax.data.store import FeatureStore
from hm3_jax.files.json_files import read_json, write_json
from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
from hm3_jax.learn.evaluation.saved_model import evaluate
from hm3_jax.learn.training.experiment import Listeners, run_experiments
from hm3_jax.reporting.figures.style import (
    COLOURS,
    Drawing,
    legend_below,
    new_figure,
    settings,
)

WHOLE, ONE = "all", "1"
_SHOWN = {WHOLE: "whole description", ONE: "one sentence"}
_METRIC = "t2s_mAP"

_MUSEUMS = flags.DEFINE_list("museums", ["50", "200", "1000", "7000"], "Sizes.")
_EPOCHS = flags.DEFINE_list("epochs_of", [], "Epochs for each; --epochs without it.")
_FIGURE_OF = path_flags.define_path("figure_of", None, "Measurements to draw.")

Point = dict[str, Any]


def trained(store: FeatureStore, museums: int, epochs: int) -> Point:
    """What the flags' strategy reaches, trained on the first museums."""
    splits = {**store.splits, "train": store.splits["train"][:museums]}
    experiment = given_experiment(
        flags.FLAGS, {"epochs": epochs}, name=f"train_{museums}"
    )
    lengths: list[Mapping[str, Mapping[str, float]]] = []
    run_experiments(
        [experiment],
        dataclasses.replace(store, splits=splits),
        Listeners(
            tested=lambda _, __, results: lengths.extend(
                result.tested.lengths for result in results
            )
        ),
    )
    return {"museums": museums, "epochs": epochs, **_chosen(lengths[0])}


def untrained(store: FeatureStore) -> Point:
    """What search without training reaches."""
    models = {"zero-shot": load_checkpoint("zero-shot", store)}
    ((_, evaluation),) = evaluate(models, store, ["test"], [int(ONE)])
    return {"museums": 0, "epochs": 0, **_chosen(evaluation.tested.lengths)}


def draw(points: Sequence[Point], folder: Path) -> None:
    """Writes the figure: one panel a length of the query."""
    none, *some = points
    figure, axes = new_figure(2.4, 1, len(_SHOWN))
    handles: dict[str, Any] = {}
    for axis, (length, title) in zip(axes[0], _SHOWN.items(), strict=True):
        handles["without training"] = axis.axhline(none[length], color="#888888")
        measured = [point for point in some if point[length] is not None]
        (handles["late interaction"],) = axis.plot(
            [point["museums"] for point in measured],
            [point[length] for point in measured],
            marker="o",
            color=COLOURS[0],
        )
        axis.set_xscale("log")
        axis.set_xticks(
            [point["museums"] for point in some],
            [f"{point['museums']:,}" for point in some],
        )
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_title(title)
        axis.set_xlabel("museums to train on")
        axis.set_ylabel("mAP (%)")
        axis.grid(linewidth=0.3, color="#DDDDDD")
    legend_below(figure, list(handles.items()))
    Drawing(
        name="learning_curve",
        title="How much there is to train on",
        caption="Text to museum on the test split.",
        figure=figure,
        heads=("museums", "epochs", *_SHOWN),
        rows=[tuple(point.values()) for point in points],
    ).write(folder)


def main() -> None:
    """Measures what is not measured, and draws."""
    folder = Path(flags.FLAGS.workdir)
    if _FIGURE_OF.value is None:
        keep_compiled_programs()
        store = open_features(flags.FLAGS.features)
        sizes = [int(size) for size in _MUSEUMS.value]
        usual = [flags.FLAGS.epochs] * len(sizes)
        epochs = [int(number) for number in _EPOCHS.value] or usual
        points = [untrained(store)]
        print(json.dumps(points[0]), flush=True)
        for size, number in zip(sizes, epochs, strict=True):
            points.append(trained(store, size, number))
            print(json.dumps(points[-1]), flush=True)
        write_json(folder / "learning_curve.json", points)
    else:
        points = read_json(Path(_FIGURE_OF.value))
    with settings():
        draw(points, folder)


def _chosen(lengths: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {length: lengths[length][_METRIC] for length in _SHOWN}


if __name__ == "__main__":
    frame.run(main)
