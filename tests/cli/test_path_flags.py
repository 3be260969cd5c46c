"""Flags that are paths, in every command."""

import ast
import os
import pwd
from pathlib import Path

import pytest

from hm3_jax.cli.path_flags import with_home
from tests.commands import fail

# Flags of text that is no path and cannot become one.
NO_PATHS = {
    *("best_strategy", "citation", "collection", "compare", "coordinator_address"),
    *("dataset_name", "description", "device", "experiment_description"),
    *("experiment_name", "feature_set", "grid", "homepage", "host", "language"),
    *("layout", "license", "like", "log", "model", "name", "per_query", "query"),
    *("push_to_hub", "remove", "show", "split", "splits", "tags", "theme", "token"),
    *("version", "apartments_model"),
    *("allowed_hosts", "forwarded_allow_ips", "root_path"),
    *("query_sentences", "ray_address", "theme_weight"),
}
# Names of weights, as no file has them.
ELSEWHERE = {("import_features.py", "pretrained")}


def test_every_flag_of_a_path_is_declared_as_one(repository):
    texts, paths = set(), set()
    for file in (repository / "hm3_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                kind = node.func.attr
                if kind in ("DEFINE_string", "DEFINE_list"):
                    texts.add((file.name, ast.literal_eval(node.args[0])))
                if kind in ("define_path", "define_paths"):
                    paths.add((file.name, ast.literal_eval(node.args[0])))
    assert ELSEWHERE < texts
    assert {name for _, name in texts - ELSEWHERE} <= NO_PATHS
    assert ("synthesize.py", "output") in paths
    assert ("evaluate.py", "checkpoint") in paths


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "a home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_the_home_takes_the_place_of_its_sign(home, capsys):
    assert with_home("~/x/y") == f"{home}/x/y"
    assert with_home("~") == str(home)
    assert with_home("tfds:~/sets/a") == f"tfds:{home}/sets/a"
    assert with_home("~root/x") == f"{pwd.getpwnam('root').pw_dir}/x"
    assert f"note: ~/x/y is {home}/x/y\n" in capsys.readouterr().err
    for path in ("", "x/~", "./~/x", "hub:user/name", "http://localhost:19530"):
        assert with_home(path) == path
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "tfds:~nobody-either"])
def test_homes_that_are_not_there(path):
    with pytest.raises(ValueError, match="expected ~nobody-.* to be a home, found non"):
        with_home(path)


def synthesize(run_module, *arguments):
    return run_module("hm3_jax.synthesize", "--museums=10", *arguments)


def test_a_command_writes_into_the_home(run_module, home, tmp_path):
    done = synthesize(run_module, "--output=~/stores/x")
    assert (done.returncode, done.stderr) == (
        0,
        f"note: ~/stores/x is {home}/stores/x\n",
    )
    assert (home / "stores" / "x" / "manifest.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [home.name]


def test_flag_files_are_in_the_home_and_name_it(run_module, home, tmp_path):
    (home / "a.cfg").write_text('--output="~/x"\n')
    done = synthesize(run_module, "--flagfile=~/a.cfg")
    assert done.returncode == 0, done.stderr
    assert f"note: ~/x is {home}/x\n" in done.stderr
    assert (home / "x").is_dir()
    assert not (tmp_path / "~").exists()


def test_lists_of_paths(run_module, home):
    done = run_module("hm3_jax.report", "--runs=~/a,b,~/c", "--output=~/r")
    *notes, line = done.stderr.splitlines()
    assert notes == [f"note: ~/{name} is {home}/{name}" for name in "acr"]
    assert line == f"error: {home}/a: expected a folder of runs, found none"


def test_no_folder_is_made_for_an_unknown_home(run_module, tmp_path, monkeypatch):
    fail(
        synthesize(run_module, "--output=~nobody-of-that-name/x"),
        "flag --output=~nobody-of-that-name/x: expected ~nobody-of-that-name to be a ",
    )
    assert os.listdir(tmp_path) == []


def test_an_experiment_is_not_named_like_a_home(run_module, tmp_path):
    # Removing what it made would remove the home.
    done = run_module(
        "hm3_jax.train", "--features=f", "--workdir=w", "--experiment_name=~"
    )
    fail(done, "experiment_name: expected a folder's name, found '~'")
    assert not Path(tmp_path, "w").exists()
