"""The `--help` page of an entry: its docstring and its own flags."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

_WIDTH = 80
_REQUIRED = "--{} must have a value other than None."
_VALUES = (
    (flags.IntegerParser, "INTEGER"),
    (flags.FloatParser, "NUMBER"),
    (flags.ListParser, "A,B,..."),
)
_COMMON = (
    (
        "--flagfile=FILE",
        "Read flags from FILE, one per line, or from one that comes with hm3_jax, such "
        "as stl; # starts a comment.",
    ),
    ("--debug", "Show tracebacks and the libraries' log lines."),
    ("--help, --helpfull", "Show this page; show the libraries' flags as well."),
)


def asked_for(arguments: Iterable[str]) -> str | None:
    """Says which help page a command line asks for.

    This comes before parsing, so that help is shown even if other flags are wrong.

    Args:
        arguments: The command line without the program's name.

    Returns:
        "help", "helpfull" or None.
    """
    for argument in arguments:
        if argument in ("-h", "-?", "--help", "--helpshort", "-help"):
            return "help"
        if argument in ("--helpfull", "-helpfull"):
            return "helpfull"
        if argument == "--":
            break
    return None


def flags_of(main: Callable[..., Any]) -> list[flags.Flag]:
    """Returns the flags that the module of `main` declares, in its order."""
    return flags.FLAGS.get_key_flags_for_module(main.__module__)


def is_required(flag: flags.Flag) -> bool:
    """Says whether `flag` was declared with `required=True`."""
    # absl keeps no such mark: the declaration only leaves a validator behind.
    text = _REQUIRED.format(flag.name)
    return any(text in validator.message for validator in flag.validators)


def render(main: Callable[..., Any]) -> str:
    """Writes the help page of an entry.

    Args:
        main: The entry's function; its module's docstring and flags are shown.

    Returns:
        The page; lines of at most 80 columns, but for the docstring's own.
    """
    module = sys.modules[main.__module__]
    own = flags_of(main)
    required = [flag for flag in own if is_required(flag)]
    optional = [flag for flag in own if not is_required(flag)]
    parts = [
        inspect.cleandoc(module.__doc__ or ""),
        _usage(module, required, bool(optional)),
        _section("Required flags", [(_syntax(f), _text(f)) for f in required]),
        _section("Flags", [(_syntax(f), _text(f)) for f in optional]),
        _section("Every entry", _COMMON),
    ]
    return "\n\n".join(part for part in parts if part)


def _usage(module: Any, required: Sequence[flags.Flag], more: bool) -> str:
    spec = module.__spec__
    # A package is run by its own name, though its __main__ is what runs.
    program = f"python {sys.argv[0]}"
    if spec:
        program = f"python -m {spec.name.removesuffix('.__main__')}"
    words = [program, *(_syntax(flag) for flag in required)]
    if more:
        words.append("[--flag=value\N{NO-BREAK SPACE}...]")
    filled = textwrap.fill(
        "Usage: " + " ".join(words),
        _WIDTH,
        subsequent_indent=" " * 4,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace("\N{NO-BREAK SPACE}", " ")


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    lines = [f"{title}:"]
    for syntax, text in rows:
        lines.append(f"  {syntax}")
        indent = " " * 6
        lines.append(
            textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
        )
    return "\n".join(lines)


def _syntax(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"--[no]{flag.name}" if flag.default else f"--{flag.name}"
    if isinstance(flag.parser, flags.EnumParser):
        return f"--{flag.name}={'|'.join(flag.parser.enum_values)}"
    for parser, value in _VALUES:
        if isinstance(flag.parser, parser):
            return f"--{flag.name}={value}"
    return f"--{flag.name}=VALUE"


def _text(flag: flags.Flag) -> str:
    text = " ".join(flag.help.split())
    if isinstance(flag.parser, flags.EnumParser):
        text = text.partition(">: ")[2]  # absl puts the values in front, <a|b>:
    default = flag.default
    if flag.boolean or default is None or default == "" or default == []:
        return text
    shown = ",".join(default) if isinstance(default, list) else default
    return f"{text.rstrip('.')}. Default: {shown}."
