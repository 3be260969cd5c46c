"""Small run folders, made by what training writes them with."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.files.run_format import LengthFacts, try_folder
from hm3_jax.learn.saved.run import RunRecord
from hm3_jax.learn.saved.run_folder import (
    MetricsLog,
    Tested,
    TryResult,
    write_experiment,
    write_lengths,
    write_strategy,
    write_test,
)
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy import TowersConfig, hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy, to_json
from hm3_jax.objective.metrics import retrieval_metrics

THEMES = ("genre", "portrait", "study")
STRATEGIES = Path(__file__).parents[2] / "configs" / "strategies"
SETTINGS = TrainSettings(
    seed=424242,
    batch_size=64,
    epochs=25,
    lr=0.0005,
    scheduler_step_size=5,
    number_of_tries=2,
)
PUBLISHED: dict[str, Any] = {
    "tries": (1, 2, 3),
    "settings": {"number_of_tries": 3},
}
"""Arguments of `write_run` for a run with the published settings of STL."""


def theme_settings(weight: float, margin: float = 0.15) -> dict[str, Any]:
    return {
        "use_categories_in_loss": True,
        "loss_within_category_margin": margin,
        "second_loss_component_weight": weight,
    }


def published(**settings: Any) -> dict[str, Any]:
    """`PUBLISHED` with other settings of the loss."""
    return PUBLISHED | {"settings": PUBLISHED["settings"] | settings}


def embeddings(
    seed: int, museums: int = 12, noise: float = 1.0, kinds: int = len(THEMES)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descriptions, museums and themes."""
    random = np.random.default_rng(seed)
    themes = np.arange(museums) % kinds
    own = random.standard_normal((museums, 8)) + 2 * np.eye(8)[themes % 8]
    described, shown = (
        (own + noise * random.standard_normal(own.shape)).astype(np.float32)
        for _ in range(2)
    )
    return described, shown, themes


def strategy_of(stem: str) -> TowersConfig:
    """The published strategy of that name; some other where there is none."""
    for path in sorted(STRATEGIES.glob("*/*.json")):
        if path.stem == stem:
            return hm3_strategy(load_strategy(path))
    return hm3_strategy(load_strategy(STRATEGIES / "hierart" / "rnn_rnn.json"))


def write_run(
    folder: Path,
    *,
    settings: Mapping[str, Any] = {},
    tries: Sequence[int] = (1, 2),
    museums: int = 12,
    noise: float = 1.0,
    dataset: str = "generatedDigitalExps",
    kind: str = "real",
    checksum: str = "ab" * 32,
    themes: Sequence[str] = THEMES,
    strategy: TowersConfig | None = None,
    lengths: Sequence[int] = (),
) -> Path:
    """Writes EXPERIMENT/STRATEGY with finished tries; returns it.

    Queries of `lengths` sentences are described by as many of 8 numbers.
    """
    known = {field.name for field in dataclasses.fields(TrainSettings)}
    of_run = dataclasses.replace(
        SETTINGS, **{name: settings[name] for name in known & settings.keys()}
    )
    # Those that this version does not know stand in the record all the same.
    recorded = dataclasses.asdict(of_run) | dict(settings)
    config = strategy or strategy_of(folder.name)
    results, labels = [], np.zeros(0, np.int64)
    for number in tries:
        described, shown, labels = embeddings(number, museums, noise, len(themes))
        metrics = retrieval_metrics(described, shown, labels)
        by_length = {
            n: retrieval_metrics(described * (np.arange(8) < n), shown, labels)
            for n in lengths
        }
        tested = Tested(metrics, described, shown, by_length=by_length)
        results.append(TryResult(number, 25, tested))
        attempt = try_folder(folder, number)
        attempt.mkdir(parents=True)
        RunRecord(
            strategy=to_json(config),
            settings={**recorded, "try": number},
            dataset_name=dataset,
            features={},
            features_checksum=checksum,
            together=["."],
            jax_version="0.10.2",
        ).write(attempt)
        log = MetricsLog(attempt, finished_epochs=0)
        for e in (1, 2, 3):
            losses = {"train_loss": 1 / e, "val_loss": 2 / e}
            log.write({"epoch": e, **losses, "val": metrics})
    write_strategy(folder, config)
    if lengths:
        about = LengthFacts("", dataset, kind, checksum, "test", 0, {})
        write_lengths(folder, results, about)
    write_test(folder, results, [f"museum_{i}" for i in range(museums)], labels)
    write_experiment(
        folder.parent,
        name=folder.parent.name,
        description="",
        tags=(),
        settings=of_run,
        run={
            "base_name": folder.name,
            "dataset_kind": kind,
            "themes": list(themes),
        },
    )
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def change(path: Path, **changes: Any) -> None:
    """Sets entries of a JSON object, which loses its seal; None takes one away."""
    content = json.loads(path.read_text()) | {"checksum": None} | changes
    write(path, {k: v for k, v in content.items() if v is not None})
