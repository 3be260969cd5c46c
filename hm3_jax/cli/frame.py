"""Command-line frame shared by every `python -m hm3_jax.NAME` entry.

An entry declares its flags with `absl.flags` (`required=True` if it needs one), defines
`main()` without arguments and ends with

    if __name__ == "__main__":
        cli.run(main)

This module parses the command line, writes the help page and turns whatever happens
into an exit code and at most one line on stderr:

| outcome | exit code |
|---|---|
| finished, `--help` | 0 (or the number `main` returns) |
| wrong flags or wrong input (`INPUT_ERRORS`) | 2 |
| any other exception | 1 |
| interrupted from the keyboard | 130 |
| the reader of stdout went away | 141 |

`--debug` prints the traceback too and lets the libraries' log lines through. Warnings
of this package (`warnings.warn`) are shown, one line each; other packages' are not.
"""

import errno
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, TextIO

from absl import flags

from hm3_jax.cli import flag_files, help_page, interrupts
from hm3_jax.data.user_cache import provide_cache
from hm3_jax.files.errors import full_disk
from hm3_jax.files.text import NAMES, readable

INPUT_ERRORS = (
    flags.Error,
    ValueError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
"""Exceptions that mean the caller's flags or files are at fault, not the program."""

# What environment variables of these names, in capitals, would change.
_SETTINGS_OF_JAX = {
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_enable_x64": False,
    "jax_threefry_partitionable": True,
}
_NOISY_LOGGERS = ("absl", "jax", "orbax", "flax")


def run(main: Callable[[], int | None], *, ends_at_once: bool = False) -> NoReturn:
    """Parses `sys.argv`, calls `main` and ends the process with an exit code.

    Args:
        main: The entry's work. It reads its flags itself and may return an exit code.
        ends_at_once: Whether Ctrl-C ends the process on the spot, because `main` leaves
            nothing to be undone; otherwise it raises KeyboardInterrupt.

    Raises:
        SystemExit: Always, with a code from the table in the module's docstring.
    """
    if ends_at_once:
        interrupts.end_at_once()
    else:
        interrupts.raise_until_seen()
    flags.DEFINE_bool("debug", False, "Show tracebacks and the libraries' log lines.")
    for stream in (sys.stdout, sys.stderr):
        # Names of files may be in another encoding; they are shown all the same.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAMES)
    try:
        code = _parse_and_call(main)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        interrupts.end_at_once()  # whoever asks twice does not want to wait
        code = report(error)
    except Exception as error:
        code = report(KeyboardInterrupt() if interrupts.heard() else error)
    if code == interrupts.EXIT_CODE and not _debug():
        # Threads of libraries show tracebacks when what they work for ends before them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(code)


def report(error: BaseException, who: str = "") -> int:
    """Says what went wrong, as the table in the module's docstring has it.

    Args:
        error: What was raised.
        who: Begins the line.

    Returns:
        The exit code.
    """
    code, line = outcome(error)
    if isinstance(error, BrokenPipeError):
        # Python flushes stdout once more on its way out and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    if _debug():
        traceback.print_exception(error)
    print(who + line, file=sys.stderr, flush=True)
    return code


def outcome(error: BaseException) -> tuple[int, str]:
    """Exit code and line of an exception."""
    if isinstance(error, KeyboardInterrupt):
        return interrupts.EXIT_CODE, "interrupted"
    if isinstance(error, BrokenPipeError):
        return 141, ""
    if isinstance(error, INPUT_ERRORS) or _is_of_a_name(error):
        return 2, f"error: {_one_line(error)}"
    full = full_disk(error)
    if full is not None:
        return 1, f"error: {full}"
    hint = "" if _debug() else " (--debug shows where)"
    return 1, f"error: {type(error).__name__}: {_one_line(error)}{hint}"


def _is_of_a_name(error: BaseException) -> bool:
    # Names that are too long, or links that lead nowhere; others are the machine's.
    names = (errno.ENAMETOOLONG, errno.ELOOP)
    return isinstance(error, OSError) and error.errno in names


def refuse_flags_of_others(
    choice: flags.FlagHolder, own: Mapping[str, Iterable[flags.FlagHolder]]
) -> None:
    """Refuses flags that mean nothing to what the user chose.

    Args:
        choice: The flag that chooses, such as --source.
        own: Flags that belong to one of its values only.

    Raises:
        ValueError: If one of another value was given; names both.
    """
    for value, others in own.items():
        for flag in others:
            if value != choice.value and flag.present:
                raise ValueError(
                    f"--{flag.name} is for --{choice.name}={value}, found "
                    f"--{choice.name}={choice.value}"
                )


def _parse_and_call(main: Callable[[], int | None]) -> int:
    page = help_page.asked_for(sys.argv[1:])
    if page is not None:
        print(flags.FLAGS.get_help() if page == "helpfull" else help_page.render(main))
        return 0
    _parse(main)
    if not _debug():
        _quieten_libraries()
    _undo_settings_of_jax()
    note = provide_cache()
    if note is not None:
        warnings.warn(note, stacklevel=1)
    return main() or 0


def _parse(main: Callable[[], int | None]) -> None:
    """Parses `sys.argv` into `flags.FLAGS`; every fault is a one-line `flags.Error`."""
    try:
        _, *rest = flag_files.parse(flags.FLAGS, sys.argv)
    except flags.IllegalFlagValueError:
        # absl would report a missing flag as a wrong value "None", flag by flag.
        missing = [
            f"--{flag.name}"
            for flag in help_page.flags_of(main)
            if flag.value is None and help_page.is_required(flag)
        ]
        if not missing or not flags.FLAGS.is_parsed():
            raise
        raise flags.Error(f"missing {', '.join(missing)} (see --help)") from None
    if rest:
        raise flags.Error(
            f"unexpected argument {rest[0]!r}: values are given as --flag=value "
            "(see --help)"
        )


def _undo_settings_of_jax() -> None:
    """Makes the same command compute the same numbers, whatever others tell JAX."""
    for name, value in _SETTINGS_OF_JAX.items():
        if os.environ.pop(name.upper(), None) is not None and "jax" in sys.modules:
            sys.modules["jax"].config.update(name, value)


def _debug() -> bool:
    # Asked for while parsing too, when reading FLAGS.debug is not allowed yet.
    return bool(flags.FLAGS["debug"].value)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, UnicodeEncodeError):
        return f"expected text in UTF-8, found {readable(error.object)}"
    if isinstance(error, KeyError):
        return repr(error.args[0]) if error.args else "KeyError"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, flags.Error):
        return "; ".join(lines).removeprefix("ERROR:: ")
    # Libraries write essays (compiler dumps, array values): the first line has it.
    return lines[0] if lines else type(error).__name__


def _quieten_libraries() -> None:
    """Hides what libraries log and warn about; errors and our own warnings stay."""
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its own setting is made when it is imported.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # The compiled part of JAX reads this at its first log line; "1", JAX's own
    # setting, still shows warnings.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module=r"hm3_jax\b|__main__$")
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, line
    print(f"warning: {message}", file=file or sys.stderr)
