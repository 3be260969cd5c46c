"""Sweeps: which experiments they stand for, and that each is as if trained alone."""

import itertools
import json
from pathlib import Path

import pytest
from absl import flags

from hm3_jax.cli import sweep_points, training_flags
from hm3_jax.nn.strategy_json import strategy_text
from tests.commands import fail, succeed
from tests.learn import small

THEMES = ("--use_categories_in_loss", "--loss_within_category_margin=0.1")


@pytest.fixture
def strategy(tmp_path) -> Path:
    path = tmp_path / "flat.json"
    path.write_text(strategy_text(small.FLAT))
    return path


@pytest.fixture
def given(strategy, monkeypatch):
    """Parsed flags of a command line, in a set of their own."""

    def given(*arguments: str) -> flags.FlagValues:
        line = ["sweep", "--features=store", "--workdir=runs", *arguments]
        if not any("config_files" in argument for argument in arguments):
            line.append(f"--config_files={strategy}")
        monkeypatch.setattr("sys.argv", line)
        values = flags.FlagValues()
        for flag in flags.FLAGS.get_key_flags_for_module(training_flags.__name__):
            values[flag.name] = flag
        values.unparse_flags()
        for name in values:
            values[name].unparse()
        values(line)
        return values

    yield given
    for flag in flags.FLAGS.get_key_flags_for_module(training_flags.__name__):
        flag.unparse()


def test_a_grid_is_every_combination(given):
    values = given(*THEMES, "--epochs=3", "--experiment_name=grid")
    grid = "second_loss_component_weight=0,0.5; lr=0.1,0.01,0.001;seed=4"
    found = sweep_points.from_grid(values, grid)
    wanted = list(itertools.product([0, 0.5], [0.1, 0.01, 0.001]))
    settings = [experiment.settings for experiment in found]
    assert [(s.second_loss_component_weight, s.lr) for s in settings] == wanted
    assert {(s.seed, s.epochs, s.use_categories_in_loss) for s in settings} == {
        (4, 3, True)
    }
    assert (
        found[1].name == "grid_second_loss_component_weight=0,lr=0.01,seed=4"
        and found[1].folder == Path("runs") / found[1].name
    )


def test_a_list_may_name_its_experiments(given, tmp_path):
    points = [
        {"experiment_name": "STL"},
        {
            "use_categories_in_loss": True,
            "loss_within_category_margin": 0.2,
            "second_loss_component_weight": 0.25,
            "epochs": 7,
        },
    ]
    (tmp_path / "points.json").write_text(json.dumps(points))
    found = sweep_points.from_list(given(), str(tmp_path / "points.json"))
    assert found[0].name == "STL" and not found[0].settings.use_categories_in_loss
    assert found[1].settings.loss_within_category_margin == 0.2
    assert found[1].settings.epochs == 7
    assert "second_loss_component_weight=0.25" in found[1].name


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_lists_of_all_editors(given, tmp_path, encoding):
    path = tmp_path / "points.json"
    path.write_bytes('[\r\n{"experiment_name": "été", "epochs": 7}]'.encode(encoding))
    (experiment,) = sweep_points.from_list(given(), str(path))
    assert (experiment.name, experiment.settings.epochs) == ("été", 7)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_flag_files_of_all_editors(given, tmp_path, encoding):
    path = tmp_path / "a.cfg"
    path.write_bytes('--experiment_name="été"\r\n--epochs=7\r\n'.encode(encoding))
    (experiment,) = sweep_points.from_files(given(), [str(path)])
    assert (experiment.name, experiment.settings.epochs) == ("été", 7)


def test_faults_of_flag_files_name_file_and_line(given, tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text("--experiment_name=a\n--epocs=7\n")
    with pytest.raises(flags.Error, match=f"{path}:2: Unknown command line flag"):
        sweep_points.from_files(given(), [str(path)])


def test_names_that_no_folder_can_have_are_refused(given):
    name = "é" * 127
    assert sweep_points.from_grid(given(f"--experiment_name={name[:-5]}"), "lr=1")
    with pytest.raises(ValueError, match="expected at most 255 bytes, .* found 259"):
        sweep_points.from_grid(given(f"--experiment_name={name}"), "lr=1")


def test_none_takes_a_setting_back(given):
    values = given(*THEMES)
    found = sweep_points.from_grid(values, "loss_within_category_margin=none,0.2")
    margins = [e.settings.loss_within_category_margin for e in found]
    assert margins == [None, 0.2]


def test_flag_files_are_experiments_and_the_command_line_overrides(given, repository):
    files = sorted((repository / "configs" / "experiments").glob("theme_*.cfg"))
    folder = repository / "configs" / "strategies" / "pov_only"
    values = given("--epochs=2", f"--config_files_dir={folder}")
    found = sweep_points.from_files(values, list(map(str, files)))
    assert len(found) == len(files) == 10
    assert {e.settings.epochs for e in found} == {2}
    assert {e.settings.lr for e in found} == {0.0005}
    weights = sorted(e.settings.second_loss_component_weight or 0 for e in found)
    assert weights == [0, 0.01, 0.05, 0.05, 0.05, 0.05, 0.1, 0.25, 0.5, 0.75]
    assert {c.name for e in found for c in e.strategies} == {
        config.stem for config in folder.glob("*.json")
    }


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ("", "expected NAME=A,B;NAME=C,D, found nothing"),
        ("lr", "expected NAME=A,B;NAME=C,D, found 'lr'"),
        ("lr=", "found 'lr='"),
        ("lr=1,,2", "found 'lr=1,,2'"),
        ("lr=1;lr=2", "found lr twice"),
        ("lr=1,1", "expected different values, found 'lr=1,1'"),
        ("colour=red", "found colour"),
        ("lr=fast", "lr=fast"),
        ("lr=-1", "lr=-1: lr: expected more than 0"),
        ("loss_within_category_margin=0.1", "needs use_categories_in_loss"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(given, grid, complaint):
    with pytest.raises(ValueError) as raised:
        sweep_points.from_grid(given(), grid)
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "expected a list of objects, found {}"),
        ("[]", "expected a list of objects, found []"),
        ("[1]", "entry 1: expected an object, found 1"),
        ('[{"lr": 1}, {"lr": "x"}]', "entry 2: lr=x"),
        ('[{"lr": [1]}]', "entry 1: lr=[1]"),
        ('[{"rate": 1}]', "found rate"),
        ('[{"experiment_name": "a/b"}]', "found 'a/b'"),
        ('[{"experiment_name": "a"}, {"experiment_name": "a"}]', "found a twice"),
        ("[", "expected JSON"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(given, tmp_path, text, complaint):
    path = tmp_path / "points.json"
    path.write_text(text)
    with pytest.raises(ValueError) as raised:
        sweep_points.from_list(given(), str(path))
    assert str(path) in str(raised.value) or "twice" in complaint
    assert complaint in str(raised.value)


def test_one_way_to_say_what_is_swept(run_module, tmp_path):
    common = ("--features=store", "--workdir=runs")
    wanted = "expected one of --grid, --settings and --experiments, found "
    fail(run_module("hm3_jax.sweep", *common), wanted + "none")
    both = ("--grid=lr=1", "--settings=points.json")
    fail(run_module("hm3_jax.sweep", *common, *both), wanted + "--grid and --settings")


@pytest.mark.thorough
def test_a_sweep_is_its_runs_one_by_one(run_module, tmp_path, strategy):
    """Losses of three epochs, and folders in the form that train gives them."""
    small.write(tmp_path / "store")
    common = ("--features=store", f"--config_files={strategy}", "--number_of_tries=2")
    common += ("--epochs=3", "--batch_size=5", "--lr=0.01")
    points = {
        "plain": (),
        "theme": (*THEMES, "--second_loss_component_weight=0.3", "--seed=8"),
        "filtered": ("--filter_out_hard_negatives", "--loss_margin=0.3"),
    }
    for name, arguments in points.items():
        lines = [f"--experiment_name={name}", *arguments]
        (tmp_path / f"{name}.cfg").write_text("\n".join(lines))
    files = ",".join(f"{name}.cfg" for name in points)
    swept = ("--workdir=swept", f"--experiments={files}", "--log=tensorboard")
    shown = succeed(run_module("hm3_jax.sweep", *common, *swept))
    assert "rnn_meanPoolProc: 6 runs" in shown and "epoch   3/3  6 runs" in shown
    assert shown.endswith("written to swept: 3 experiments\n")
    stem = small.FLAT.file_stem
    for name in points:
        alone = ("--workdir=alone", f"--flagfile={name}.cfg")
        succeed(run_module("hm3_jax.train", *common, *alone))
        one, other = tmp_path / "alone" / name, tmp_path / "swept" / name
        names = [sorted(small.results(f / stem)) for f in (one, other)]
        events = [name for name in names[1] if "/events.out.tfevents." in name]
        assert [name.split("/")[0] for name in events] == ["try_1", "try_2"]
        assert names[0] == [name for name in names[1] if name not in events]
        for attempt in (1, 2):
            lines = [small.log(folder / stem, attempt) for folder in (one, other)]
            for wanted, found in zip(*lines, strict=True):
                for loss in ("train_loss", "val_loss"):
                    assert wanted[loss] > 1e-3
                    assert found[loss] == pytest.approx(wanted[loss], rel=1e-5)
        about = [json.loads((f / "experiment.json").read_text()) for f in (one, other)]
        assert about[0]["settings"] == about[1]["settings"]
