import importlib
import importlib.util
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from hm3_jax.nn.strategy_json import load_strategy

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "experiments"

# The 12 published training commands, typed from the release's README: what each passes
# beyond the settings they all share.
SHARED = {
    "seed": 424242,
    "batch_size": 64,
    "number_of_tries": 3,
    "save_strategy": "last",
}
GENMUSEUMS = SHARED | {
    "config_files_dir": "configs/strategies/pov_and_video",
    "epochs": 25,
    "scheduler_step_size": 5,
    "lr": 0.0005,
    "loss_margin": 0.25,
}


def theme_aware(weight, margin=0.15, **more):
    return GENMUSEUMS | {
        "use_categories_in_loss": True,
        "loss_within_category_margin": margin,
        "second_loss_component_weight": weight,
        **more,
    }


EXPECTED = {
    "hierart_comparison": SHARED
    | {
        "config_files_dir": "configs/strategies/hierart",
        "epochs": 50,
        "lr": 0.001,
        "experiment_name": "hierArt_comparison",
        "tags": ["hierart_comparison"],
    },
    "stl": GENMUSEUMS | {"experiment_name": "STL", "tags": ["STL", "new 16th"]},
    "theme_w0.75": theme_aware(
        0.75, experiment_name="CN_TC_2nd_w_0.75", tags=["new 18th 2nd w 0.75"]
    ),
    "theme_w0.5": theme_aware(
        0.5, experiment_name="CN_TC_2nd_w_0.5", tags=["new 18th 2nd w 0.5"]
    ),
    "theme_w0.25": theme_aware(
        0.25, experiment_name="CN_TC_2nd_w_0.25", tags=["new 18th 2nd w 0.25"]
    ),
    "theme_w0.1": theme_aware(
        0.1, experiment_name="CN_TC_2nd_w_0.1", tags=["new 18th 2nd w 0.1"]
    ),
    "theme_w0.05": theme_aware(
        0.05, experiment_name="CN_TC_2nd_w_0.05", tags=["new 18th 2nd w 0.05"]
    ),
    "theme_w0.01": theme_aware(
        0.01, experiment_name="CN_TC_2nd_w_0.01", tags=["new 18th 2nd w 0.01"]
    ),
    "theme_w0": theme_aware(
        0, experiment_name="CN_TC_2nd_w_0", tags=["new 18th 2nd w 0", "new 17th"]
    ),
    "theme_w0.05_pov_only": theme_aware(
        0.05,
        config_files_dir="configs/strategies/pov_only",
        # Published under the name of theme_w0.05, which would share its folder.
        experiment_name="CN_TC_2nd_w_0.05_pov_only",
        tags=["new 18th 2nd w 0.05"],
    ),
    "theme_w0.05_m0.10": theme_aware(
        0.05,
        margin=0.1,
        experiment_name="CN_TC_2nd_w_0.05_2nd_m_0.1",
        tags=["new 22th 2nd w 0.05 2nd m 0.1"],
    ),
    "theme_w0.05_m0.20": theme_aware(
        0.05,
        margin=0.2,
        experiment_name="CN_TC_2nd_w_0.05_2nd_m_0.2",
        tags=["new 22th 2nd w 0.05 2nd m 0.2"],
    ),
}


def read(stem):
    """Flags of a flagfile as text; a flag without a value is "true"."""
    values = {}
    for line in (FOLDER / f"{stem}.cfg").read_text().splitlines():
        if line and not line.startswith("#"):
            assert line.startswith("--") and line == line.strip(), line
            name, _, value = line.removeprefix("--").partition("=")
            assert name not in values, line
            values[name] = value or "true"
    return values


def typed(text, like):
    if isinstance(like, bool):
        return text == "true"
    if isinstance(like, list):
        return text.split(",")
    return type(like)(text)


def test_one_flagfile_for_each_published_command():
    assert len(EXPECTED) == 12
    published = {f"{stem}.cfg" for stem in EXPECTED}
    ours = {"late_interaction.cfg", "late_interaction_whole.cfg"}
    assert {path.name for path in FOLDER.iterdir()} == published | ours


@pytest.mark.parametrize("stem", EXPECTED)
def test_flagfile_says_what_the_command_says(stem):
    found = read(stem)
    assert found.pop("experiment_description")
    assert set(found) == set(EXPECTED[stem])
    for name, value in EXPECTED[stem].items():
        assert typed(found[name], value) == value, name


def test_experiments_have_names_of_their_own():
    names = [read(stem)["experiment_name"] for stem in EXPECTED]
    assert len(set(names)) == len(names)
    # The name is a folder of the workdir.
    assert not any("/" in name for name in names)


def test_strategies_are_those_of_the_published_tables():
    def names(stem):
        folder = ROOT / read(stem)["config_files_dir"]
        return {load_strategy(path).file_stem for path in folder.iterdir()}

    basic = {
        "rnn_meanPoolProc",
        "rnn_cnn1d",
        "hier_by_room_rnn_meanPoolProc",
        "hier_by_room_rnn_meanPoolProc_cnn1d",
    }
    assert names("theme_w0.05_pov_only") == basic
    assert names("stl") == {f"{name}_video" for name in basic}
    extra = {"rnn_rnn", "hier_by_room_rnn_2_meanPoolProc"}
    assert names("hierart_comparison") == basic | extra


@pytest.mark.skipif(
    importlib.util.find_spec("hm3_jax.train") is None,
    reason="there is no hm3_jax.train in this tree",
)
@pytest.mark.parametrize("stem", EXPECTED)
def test_train_takes_the_flagfile(stem):
    importlib.import_module("hm3_jax.train")
    arguments = ["train", f"--flagfile={FOLDER / f'{stem}.cfg'}"]
    with flagsaver.flagsaver():
        rest = flags.FLAGS([*arguments, "--features=store", "--workdir=runs"])
        assert rest == ["train"]
        for name, value in EXPECTED[stem].items():
            assert flags.FLAGS[name].value == value, name
