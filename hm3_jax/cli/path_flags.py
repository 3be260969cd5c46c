"""Flags whose values are paths: a ~ at their beginning is the user's home.

The shell leaves `--output=~/stores` as it is, so without this a folder named ~ would be
made where the program runs.
"""

import functools
import os
import sys
from typing import Any, Literal, overload

from absl import flags

from hm3_jax.data.user_cache import is_temporary_home

# In the help page, a flag belongs to the module that asks for it.
flags.disclaim_key_flags()

# What stands before a path in some values (TFDS data sets).
_PREFIXES = ("tfds:",)


@overload
def define_path(
    name: str, default: None, help: str, *, required: Literal[True]
) -> flags.FlagHolder[str]: ...
@overload
def define_path(
    name: str, default: None, help: str
) -> flags.FlagHolder[str | None]: ...
def define_path(
    name: str, default: None, help: str, *, required: bool = False
) -> flags.FlagHolder[Any]:
    """Declares a flag that is a path, or that may be one.

    Args:
        name: Of the flag.
        default: None.
        help: What the help page says.
        required: Whether an entry cannot do without.

    Returns:
        The flag; its value has the home instead of ~, and what was taken is said on
        stderr.
    """
    return flags.DEFINE(_PathParser(), name, default, help, required=required)


@overload
def define_paths(
    name: str, default: None, help: str, *, required: Literal[True]
) -> flags.FlagHolder[list[str]]: ...
@overload
def define_paths(
    name: str, default: list[str], help: str
) -> flags.FlagHolder[list[str]]: ...
@overload
def define_paths(
    name: str, default: None, help: str
) -> flags.FlagHolder[list[str] | None]: ...
def define_paths(
    name: str, default: list[str] | None, help: str, *, required: bool = False
) -> flags.FlagHolder[Any]:
    """Declares a flag that is a list of paths, as `define_path` does one of a path."""
    return flags.DEFINE(
        _PathsParser(),
        name,
        default,
        help,
        required=required,
        serializer=flags.CsvListSerializer(","),
    )


def with_home(path: str) -> str:
    """Puts the home of the user instead of ~, and that of NAME instead of ~NAME.

    Args:
        path: What was typed; may have a prefix that another part of the program reads.

    Raises:
        ValueError: There is no such user, or this one has no home.
    """
    prefix = next((text for text in _PREFIXES if path.startswith(text)), "")
    given = path.removeprefix(prefix)
    taken = os.path.expanduser(given)
    if not given.startswith("~"):
        return path
    if taken == given or is_temporary_home(taken):
        who = given.partition("/")[0]
        raise ValueError(
            f"expected {who} to be a home, found none (./{who} is a folder of that "
            "name)"
        )
    _say(given, taken)
    return prefix + taken


class _PathParser(flags.ArgumentParser[str]):
    def parse(self, argument: str) -> str:
        return with_home(super().parse(argument) or "")


class _PathsParser(flags.ListParser):
    def parse(self, argument: str | list[str]) -> list[str]:
        return [with_home(path) for path in super().parse(argument)]


# A sweep parses its command line once for every flag file.
@functools.cache
def _say(given: str, taken: str) -> None:
    print(f"note: {given} is {taken}", file=sys.stderr, flush=True)
