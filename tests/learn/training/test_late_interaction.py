"""Late interaction is trained as every strategy: resumed, swept, on several devices."""

import json
import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.evaluation.saved_model import evaluate
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.zero_shot import zero_shot
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.strategy_json import strategy_text
from tests.learn import small

CONFIG = LateInteractionConfig(
    name="late_interaction_image_video",
    size=32,
    order=2,
    sizes=4,
    context=True,
    dropout=0.1,
    theme_units=8,
    theme_weight=0.05,
)
HOW: dict[str, Any] = {
    "loss": "info_nce",
    "loss_margin": 0.25,
    "use_categories_in_loss": False,
    "loss_within_category_margin": None,
    "second_loss_component_weight": None,
    "second_loss_component_weight_decay_factor": None,
    "new_positive_samples": None,
    "save_strategy": "last",
    "best_strategy": None,
    "loss_patience": None,
    "loss_delta": None,
    "number_of_tries": 1,
    "scheduler": "cosine",
    "temperature": 0.05,
    "partial_descriptions": 0.5,
    "batch_size": 16,
    "epochs": 4,
    "lr": 3e-3,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    synthesize(path, SyntheticConfig(museums=150, sentences=8.0, feature_size=32))
    return open_store(path)


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    return small.train(store, tmp_path_factory.mktemp("runs") / "run", CONFIG, **HOW)


@pytest.mark.thorough
def test_training_makes_queries_of_every_length_better(store, trained):
    saved = checkpoint.load_model(trained / "try_1")
    config = saved.model.config
    assert isinstance(config, LateInteractionConfig)
    assert config.themes == len(store.themes)
    models = {"trained": saved, "zero-shot": Checkpoint(zero_shot(store), 0)}
    found = dict(evaluate(models, store, ["train"], lengths=(1, 3)))
    for length in ("1", "3", "all"):
        ours, theirs = (
            found[name].tested.lengths[length]["t2s_mAP"]
            for name in ("trained", "zero-shot")
        )
        assert ours > theirs + 3, length


def test_what_is_standardised_by_is_no_parameter_to_train(store, trained):
    params = checkpoint.load_model(trained / "try_1").model.params
    untrained = zero_shot(store).params
    for tower, kind in (("text", "sentences"), ("scene", "views"), ("scene", "videos")):
        jax.tree.map(
            np.testing.assert_array_equal,
            dict(params[tower][kind]),
            dict(untrained[tower][kind]),
        )


def test_an_interruption_changes_nothing(store, trained, tmp_path):
    every_epoch = Execution(save_every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        small.train(
            store,
            tmp_path / "run",
            CONFIG,
            listener=small.interrupt_after(3),
            execution=every_epoch,
            **HOW,
        )
    found = small.train(store, tmp_path / "run", CONFIG, resume=True, **HOW)
    assert small.results(found) == small.results(trained)


@pytest.mark.filterwarnings("ignore:.*no museum of split train has the themes")
@pytest.mark.thorough
def test_the_triplet_loss_is_as_theme_aware_as_for_other_strategies(store, tmp_path):
    how = {**HOW, "loss": "triplet", "temperature": None, "epochs": 2}
    themed = {
        "use_categories_in_loss": True,
        "loss_within_category_margin": 0.1,
        "second_loss_component_weight": 0.0,
    }
    plain = small.train(store, tmp_path / "plain", CONFIG, **how)
    aware = small.train(store, tmp_path / "aware", CONFIG, **{**how, **themed})
    losses = [[line["train_loss"] for line in small.log(f, 1)] for f in (plain, aware)]
    assert np.isfinite(losses).all() and losses[0] != losses[1]


@pytest.mark.thorough
def test_a_batch_split_over_devices_is_one_batch(store, tmp_path):
    strategy = tmp_path / "strategy.json"
    # Devices draw dropout each for its own share.
    strategy.write_text(
        strategy_text(
            LateInteractionConfig(
                name="late_interaction_video", size=32, theme_dropout=0.0
            )
        )
    )
    losses = []
    for devices in (1, 4):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "hm3_jax.train",
                f"--features={store.path}",
                f"--workdir={tmp_path / str(devices)}",
                f"--config_files={strategy}",
                "--experiment_name=run",
                "--loss=info_nce",
                "--partial_descriptions=0.5",
                "--batch_size=13",
                "--epochs=2",
                f"--num_devices={devices}",
            ],
            env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"},
            check=True,
            capture_output=True,
        )
        log = tmp_path / str(devices) / "run" / "late_interaction_video" / "try_1"
        lines = (log / "metrics.jsonl").read_text().splitlines()
        losses.append(
            [[json.loads(x)[k] for k in ("train_loss", "val_loss")] for x in lines]
        )
    np.testing.assert_allclose(*losses, rtol=2e-5)
