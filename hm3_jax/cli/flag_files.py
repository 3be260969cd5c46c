"""Command lines with flag files in them, read as people write and save these.

A flag file has a flag a line, `--name=value`; # or // starts a comment line. Its text
may come from any editor (`hm3_jax.files.text`), and quotes around a value, as a shell
takes them off, are taken off. Those that come with the package are found by name.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from hm3_jax.cli.path_flags import with_home
from hm3_jax.files.shipped import found, shipped_names
from hm3_jax.files.text import is_text, read_text, readable

_NAMES = ("--flagfile", "-flagfile")
_COMMENTS = ("#", "//")
# As programs for writing letters make them of the two that a keyboard has.
_QUOTES = {'"': '"', "'": "'", "\N{LEFT DOUBLE QUOTATION MARK}": "\u201d"}


class _Argument(NamedTuple):
    text: str
    place: str  # FILE:LINE, or empty for the command line


def parse(values: flags.FlagValues, command_line: Sequence[str]) -> list[str]:
    """Parses a command line and the flag files that it names.

    Args:
        values: The flags that are declared; get their values.
        command_line: The program's name and its arguments.

    Returns:
        What is left: the program's name and arguments that are no flags.

    Raises:
        flags.Error: A flag is wrong; where it comes from a file, the message begins
            with FILE:LINE.
        FileNotFoundError: There is no such flag file.
        ValueError: A flag file is no text, a line of it is no flag, or it names itself.
    """
    program, *given = command_line
    arguments = list(_expanded(given, values))
    try:
        rest = values([program, *(argument.text for argument in arguments)])
    except (flags.Error, ValueError) as error:
        place = _place_of(error, arguments)
        if not place:
            raise
        raise flags.Error(f"{place}: {error}") from None
    for flag in (values[name] for name in values):
        # It would fail late, where it is written into a text or given to a library.
        value: Any = flag.value
        text = ",".join(value) if isinstance(value, list) else str(value)
        if not is_text(text):
            found = readable(text)
            raise flags.Error(f"flag --{flag.name}: expected UTF-8, found {found}")
    return rest


def _expanded(
    arguments: Sequence[str], values: flags.FlagValues
) -> Iterator[_Argument]:
    rest = iter(arguments)
    for argument in rest:
        name, equals, file = argument.partition("=")
        if argument == "--":
            yield _Argument(argument, "")
            break
        if name not in _NAMES:
            yield _Argument(argument, "")
            continue
        if not equals:
            file = next(rest, "")
        if not file:
            raise flags.IllegalFlagValueError("--flagfile=FILE needs a file")
        yield from _flags_of(_file_named(file), values)
    yield from (_Argument(argument, "") for argument in rest)


def _flags_of(
    file: Path, values: flags.FlagValues, above: tuple[str, ...] = ()
) -> Iterator[_Argument]:
    if not file.exists():
        raise FileNotFoundError(
            f"{file}: expected a file of flags, or the name of one that comes with "
            f"hm3_jax ({', '.join(shipped_names('experiments'))}), found neither"
        )
    above += (os.path.realpath(file),)
    for number, line in enumerate(read_text(file).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith(_COMMENTS):
            continue
        place = f"{file}:{number}"
        flag = _unquoted(text, place)
        if not flag.startswith("-"):
            raise ValueError(
                f"{place}: expected --flag=value or a comment (#), found {text!r:.60}"
            )
        name, equals, value = map(str.strip, flag.partition("="))
        known = values[name.lstrip("-")] if name.lstrip("-") in values else None
        lacks_value = known is not None and not (equals or known.boolean)
        if lacks_value or len(name.split()) > 1:
            # It would take the next line for its value.
            raise ValueError(f"{place}: expected --flag=value, found {text!r:.60}")
        value = _unquoted(value, place)
        if name not in _NAMES:
            yield _Argument(f"{name}{equals}{value}", place)
            continue
        inner = _file_named(value)
        if os.path.realpath(inner) in above:
            raise ValueError(
                f"{place}: expected another file of flags, found {inner} once more"
            )
        yield from _flags_of(inner, values, above)


def _file_named(name: str) -> Path:
    return found(with_home(name), "experiments")


def _unquoted(text: str, place: str) -> str:
    """The text without quotes around the whole of it."""
    end = _QUOTES.get(text[:1])
    if end is None:
        return text
    inner = text[1:-1]
    if len(text) > 1 and text.endswith(end) and end not in inner:
        return inner
    if end not in text[1:]:
        raise ValueError(f"{place}: expected a closing quote, found {text!r:.60}")
    return text


def _place_of(error: Exception, arguments: Sequence[_Argument]) -> str:
    """Where the flag comes from that absl complains of; empty if not from a file."""
    for argument in arguments:
        name, _, value = argument.text.lstrip("-").partition("=")
        if isinstance(error, flags.UnrecognizedFlagError):
            wrong = error.flagname == name
        else:
            begins = (f"flag --{name}={value}: ", f"{argument.text} does not take")
            wrong = str(error).startswith(begins)
        if wrong:
            return argument.place
    return ""
