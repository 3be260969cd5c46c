"""Small run folders, as training writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.objective.metrics import retrieval_metrics

THEMES = ("genre", "portrait", "study")
SETTINGS = {
    "seed": 424242,
    "batch_size": 64,
    "epochs": 25,
    "lr": 0.0005,
    "scheduler_step_size": 5,
    "scheduler_gamma": 0.75,
    "number_of_tries": 2,
    "save_strategy": "last",
    "loss_margin": 0.25,
    "use_categories_in_loss": False,
    "loss_within_category_margin": None,
    "second_loss_component_weight": None,
}


def theme_settings(weight: float, margin: float = 0.15) -> dict[str, Any]:
    return {
        "use_categories_in_loss": True,
        "loss_within_category_margin": margin,
        "second_loss_component_weight": weight,
    }


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
) -> Path:
    """Writes EXPERIMENT/STRATEGY with finished tries; returns it."""
    output = []
    for number in tries:
        described, shown, labels = embeddings(number, museums, noise, len(themes))
        metrics = retrieval_metrics(described, shown, labels)
        attempt = folder / f"try_{number}"
        attempt.mkdir(parents=True)
        record = {
            "strategy": {},
            "settings": {**SETTINGS, **settings, "try": number},
            "dataset_name": dataset,
            "features": {},
            "features_checksum": checksum,
            "together": ["."],
            "jax_version": "0.10.2",
        }
        write(attempt / "run.json", record)
        write(attempt / "test_metrics.json", {"epoch": 25, "metrics": metrics})
        lines = [
            {"epoch": e, "train_loss": 1 / e, "val_loss": 2 / e, "val": metrics}
            for e in (1, 2, 3)
        ]
        (attempt / "metrics.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
        output.append(
            {
                "n_try": number,
                "output_description_test": described.tolist(),
                "output_pov_test": shown.tolist(),
                "output_categories": labels.tolist(),
                "ids_list": [f"museum_{i}" for i in range(museums)],
                "metrics": metrics,
            }
        )
    write(folder / "test_output.json", output)
    path = folder.parent / "experiment.json"
    content = json.loads(path.read_text()) if path.exists() else {"runs": []}
    content["runs"].append(
        {"base_name": folder.name, "dataset_kind": kind, "themes": list(themes)}
    )
    write(path, content)
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def change(path: Path, **changes: Any) -> None:
    """Sets entries of a JSON object; None takes one away."""
    content = json.loads(path.read_text()) | changes
    write(path, {k: v for k, v in content.items() if v is not None})
