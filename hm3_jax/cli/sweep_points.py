"""The experiments of a sweep, from a grid, a list, or several flag files."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from hm3_jax.cli import flag_files
from hm3_jax.cli.training_flags import given_experiment
from hm3_jax.files.json_files import parse_json
from hm3_jax.files.text import read_text
from hm3_jax.learn.settings import TrainSettings

if TYPE_CHECKING:
    from hm3_jax.learn.training.experiment import Experiment

_NAMES = [field.name for field in dataclasses.fields(TrainSettings)]
_NOT_GIVEN = "none"
_NAME = "experiment_name"


def from_grid(values: flags.FlagValues, grid: str) -> list[Experiment]:
    """Every combination of the grid's values.

    Args:
        values: parsed flags, for all other settings.
        grid: "NAME=A,B;NAME=C,D".

    Raises:
        ValueError: the grid is not of this form, names an unknown setting or
            twice, or a combination contradicts itself (named).
    """
    axes: dict[str, list[str]] = {}
    for axis in filter(None, map(str.strip, grid.split(";"))):
        name, equals, given = axis.partition("=")
        points = [value.strip() for value in given.split(",")]
        if not equals or not all(points):
            raise ValueError(f"--grid: expected NAME=A,B;NAME=C,D, found {axis!r}")
        if name in axes:
            raise ValueError(f"--grid: expected every setting once, found {name} twice")
        if len(set(points)) < len(points):
            raise ValueError(f"--grid: expected different values, found {axis!r}")
        axes[name] = points
    if not axes:
        raise ValueError("--grid: expected NAME=A,B;NAME=C,D, found nothing")
    return _distinct(
        [
            _point(values, dict(zip(axes, point, strict=True)), "--grid")
            for point in itertools.product(*axes.values())
        ]
    )


def from_list(values: flags.FlagValues, path: str) -> list[Experiment]:
    """The objects of a JSON list.

    Args:
        values: parsed flags, for all other settings.
        path: file of the list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no list of objects, or one of them names a setting that there
            is not or contradicts itself.
    """
    points = parse_json(read_text(Path(path)), path)
    if not isinstance(points, list) or not points:
        raise ValueError(f"{path}: expected a list of objects, found {points!r:.60}")
    experiments = []
    for number, point in enumerate(points, 1):
        if not isinstance(point, dict):
            raise ValueError(
                f"{path}: entry {number}: expected an object, found {point!r:.60}"
            )
        experiments.append(_point(values, point, f"{path}: entry {number}"))
    return _distinct(experiments)


def from_files(values: flags.FlagValues, files: Sequence[str]) -> list[Experiment]:
    """Experiments of flag files, overridden by the command line.

    Args:
        values: the flags that are declared.
        files: flag files as `train --flagfile` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file's settings contradict each other.
    """
    experiments = []
    for file in files:
        of_file = copy.deepcopy(values)
        of_file.unparse_flags()
        for name in of_file:
            of_file[name].unparse()
        flag_files.parse(of_file, [sys.argv[0], f"--flagfile={file}", *sys.argv[1:]])
        try:
            experiments.append(given_experiment(of_file))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    return _distinct(experiments)


def _point(
    values: flags.FlagValues, point: Mapping[str, Any], where: str
) -> Experiment:
    changes = {}
    for name, value in point.items():
        if name == _NAME:
            continue
        if name not in _NAMES:
            raise ValueError(
                f"{where}: expected settings ({', '.join(_NAMES)}), found {name}"
            )
        changes[name] = _parsed(values, name, value, where)
    shown = ",".join(f"{name}={point[name]}" for name in changes)
    name = point.get(_NAME, f"{values[_NAME].value}_{shown}")
    try:
        return given_experiment(values, changes, str(name))
    except ValueError as error:
        raise ValueError(f"{where}: {shown}: {error}") from None


def _parsed(values: flags.FlagValues, name: str, value: Any, where: str) -> Any:
    if value is None or value == _NOT_GIVEN:
        return None
    parser = values[name].parser
    assert parser is not None
    try:
        return parser.parse(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {name}={value}: {error}") from None


def _distinct(experiments: list[Experiment]) -> list[Experiment]:
    names = [experiment.name for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"expected experiments of different names, found {name} twice (give "
                f"each an {_NAME})"
            )
    return experiments
