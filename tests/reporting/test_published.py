"""The published numbers that are shipped, beside those of the paper typed once more.

In the order of the paper's columns; a row ends with its line.
"""

import copy
import dataclasses
from pathlib import Path

import pytest
from absl import flags

from hm3_jax.cli.training_flags import given_experiment
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy_json import to_json
from hm3_jax.reporting.published import load_published

REPOSITORY = Path(__file__).parents[2]
EXPERIMENTS = REPOSITORY / "configs" / "experiments"

MUSEUMS3K = """
h MP+1dCNN        |  6.1 25.8 42.4 14.0  6.3 26.6 42.8 14.7
h MP+MP (HierArt) | 36.8 67.5 80.1  3.0 35.0 65.3 78.7  3.0
h MP+bi-GRU       | 84.2 97.3 99.0  1.0 82.9 97.0 98.9  1.0
b 1dCNN           | 11.3 37.9 52.0  9.8 11.6 36.4 49.2 11.2
b RNN             | 33.7 61.9 73.3  3.3 32.1 60.2 72.4  3.7
b MP              | 17.9 41.9 58.1  7.7 16.7 41.0 56.6  7.7
"""
# Columns of the experiments below: mAP, nDCG, both by theme.
GENMUSEUMS = {
    "stl_video": """
h MP+1dCNN  | 44.6 56.8 52.7 88.0
h MP+bi-GRU | 99.3 99.5 41.2 84.6
b 1dCNN     | 80.9 85.5 50.3 87.9
b MP        | 85.5 88.9 53.8 89.2
""",
    "theme_views": """
h MP+1dCNN  | 12.5 28.5 83.6 96.0
h MP+bi-GRU | 77.7 83.0 68.8 93.0
b 1dCNN     | 36.7 50.3 78.6 95.2
b MP        | 29.0 43.4 77.2 95.3
""",
    "theme_video": """
h MP+1dCNN  | 25.6 40.6 85.5 97.2
h MP+bi-GRU | 88.9 91.6 74.3 94.9
b 1dCNN     | 55.0 65.2 81.1 96.4
b MP        | 61.0 69.7 81.9 96.6
""",
    "theme_video_m0.10": """
h MP+1dCNN  | 19.3 34.8 91.8 98.5
h MP+bi-GRU | 78.4 83.5 83.5 96.9
b 1dCNN     | 49.4 60.7 87.2 97.6
b MP        | 50.0 60.8 89.1 98.0
""",
    "theme_video_m0.20": """
h MP+1dCNN  | 27.6 42.5 79.8 96.0
h MP+bi-GRU | 94.4 95.8 65.4 92.7
b 1dCNN     | 59.3 68.7 75.3 95.1
b MP        | 66.8 74.3 74.9 95.0
""",
}
WEIGHTS = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75)
# mAP and mAP by theme of each weight.
BY_WEIGHT = """
h MP+1dCNN  |  6.1 98.7  9.9 96.1 25.6 85.5 34.0 79.7 52.2 61.9 61.7 46.5 67.5 30.4
h MP+bi-GRU |  7.8 99.5 51.5 87.2 88.9 74.3 94.4 68.0 97.2 60.0 97.8 51.6 98.2 42.4
b 1dCNN     | 11.1 99.1 36.0 90.7 55.0 81.1 65.5 75.6 77.8 65.2 85.0 53.9 84.6 41.0
b MP        |  3.3 99.8 22.8 94.2 61.0 81.9 72.7 75.7 82.4 67.8 83.7 60.6 82.7 52.7
"""
RANKS = ("R@1", "R@5", "R@10", "median_rank")
EXACT_AND_BY_THEME = (
    "t2s_mAP",
    "t2s_avg_ndcg",
    "t2s_mAP_by_class",
    "t2s_avg_ndcg_by_class",
)


def typed(table: str) -> dict[str, tuple[float, ...]]:
    rows = [line.split("|") for line in table.strip().splitlines()]
    return {name.strip(): tuple(map(float, row.split())) for name, row in rows}


def experiments(layout: str):
    return load_published().layouts[layout].experiments


def test_museums3k():
    (found,) = experiments("hierart_comparison")
    assert found.results == typed(MUSEUMS3K)
    assert found.metrics == (
        *(f"t2s_{rank}" for rank in RANKS),
        *(f"s2t_{rank}" for rank in RANKS),
    )
    assert found.data_set == "Museums3k" and not found.videos
    assert not found.settings["use_categories_in_loss"]


def test_genmuseums():
    stl, views, video = experiments("stl_vs_theme")
    assert experiments("video") == (views, video)
    narrow, middle, wide = experiments("margins")
    assert middle == video
    for found, name in (
        (stl, "stl_video"),
        (views, "theme_views"),
        (video, "theme_video"),
        (narrow, "theme_video_m0.10"),
        (wide, "theme_video_m0.20"),
    ):
        assert found.results == typed(GENMUSEUMS[name]), name
        assert found.metrics == EXACT_AND_BY_THEME
        assert found.data_set == "genMuseums" and found.videos == (found != views)
        assert found.settings["loss_margin"] == 0.25
    assert [
        e.settings["loss_within_category_margin"] for e in (narrow, video, wide)
    ] == [
        0.10,
        0.15,
        0.20,
    ]
    assert {e.settings["second_loss_component_weight"] for e in (views, video)} == {
        0.05
    }


def test_weights():
    found = experiments("weights")
    rows = typed(BY_WEIGHT)
    assert [e.settings["second_loss_component_weight"] for e in found] == list(WEIGHTS)
    for number, experiment in enumerate(found):
        pair = slice(2 * number, 2 * number + 2)
        expected = {name: row[pair] for name, row in rows.items()}
        assert experiment.results == expected
        assert experiment.metrics == ("t2s_mAP", "t2s_mAP_by_class")
        assert experiment.settings["loss_within_category_margin"] == 0.15


def experiments_of_files():
    published = load_published()
    found = {
        experiment.file: experiment
        for layout in published.layouts.values()
        for experiment in layout.experiments
    }
    return sorted(found.items())


def test_every_published_experiment_has_a_file_and_every_file_is_one():
    assert [name for name, _ in experiments_of_files()] == sorted(
        path.name
        for path in EXPERIMENTS.glob("*.cfg")
        if not path.stem.startswith("late_interaction")  # ours
    )


@pytest.mark.parametrize(("file", "experiment"), experiments_of_files())
def test_settings_and_strategies_are_those_of_the_file(file, experiment):
    """All of them, read as `train --flagfile` reads them."""
    values = copy.deepcopy(flags.FLAGS)
    values.unparse_flags()
    for name in values:
        values[name].unparse()
    values(["train", f"--flagfile={EXPERIMENTS / file}", "--workdir=x", "--features=x"])
    folder = str(REPOSITORY / str(values["config_files_dir"].value))
    values["config_files_dir"].value = folder
    given = given_experiment(values)
    assert experiment.settings == dataclasses.asdict(given.settings)
    published = load_published()
    shown = {
        config.file_stem: to_json(config)
        for config in given.strategies
        if config.file_stem.removesuffix("_video") in published.labels
    }
    assert {published.labels[stem.removesuffix("_video")] for stem in shown} == set(
        experiment.results
    )
    for stem, config in shown.items():
        assert published.strategies[stem] == config
        assert stem.endswith("_video") == experiment.videos


def test_defaults_are_those_of_training():
    """A setting that is new, or has another default, has to be said here too."""
    assert load_published().defaults == dataclasses.asdict(TrainSettings())
