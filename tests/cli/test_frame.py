"""The command-line frame, seen from a shell: output, error line, exit code."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ENTRY = '''\
"""Hangs museums.

Takes them from a store.
"""

import warnings

from absl import flags

from hm3_jax.cli import frame

_FEATURES = flags.DEFINE_string("features", None, "Where they are.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where they go.", required=True)
_EPOCHS = flags.DEFINE_integer("epochs", 25, "How often.", lower_bound=1)
_SPLIT = flags.DEFINE_enum("split", "test", ["train", "test"], "Which.")
_TAGS = flags.DEFINE_list("tags", ["a", "b"], "Words.")
_FAST = flags.DEFINE_bool("fast", True, "In a hurry.")
_FAULT = flags.DEFINE_string("fault", None, "Python that is run.")


def main() -> int | None:
    print(_FEATURES.value, _EPOCHS.value, _TAGS.value, flush=True)
    scope = {}
    exec(compile(_FAULT.value or "", "fault", "exec"), scope)
    return scope.get("code")


if __name__ == "__main__":
    frame.run(main)
'''

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def entry(run_module: Run, tmp_path: Path) -> Run:
    """Runs the entry above with the given arguments."""
    (tmp_path / "hang.py").write_text(ENTRY)
    return lambda *arguments: run_module("hang", *arguments)


@pytest.fixture
def start(repository: Path, tmp_path: Path) -> Start:
    """Starts the entry above with what it requires, without waiting for its end."""
    (tmp_path / "hang.py").write_text(ENTRY)
    return lambda *arguments: subprocess.Popen(
        [sys.executable, "-m", "hang", "--features=f", "--workdir=w", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def fault(entry: Run) -> Run:
    """Runs the entry above with code that goes wrong."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return entry("--features=f", "--workdir=w", f"--fault={code}", *arguments)

    return run


def test_a_good_run_is_silent_on_stderr(entry: Run) -> None:
    done = entry("--features=f", "--workdir", "w", "--epochs=3", "--tags=x")
    assert (done.returncode, done.stdout, done.stderr) == (0, "f 3 ['x']\n", "")


def test_flagfile(entry: Run, tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("# comment\n--features=f\n\n--epochs=4\n")
    done = entry("--flagfile=a.cfg", "--workdir=w", "--epochs=5")
    assert (done.returncode, done.stdout) == (0, "f 5 ['a', 'b']\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "error: missing --features, --workdir (see --help)"),
        (["--features=f"], "error: missing --workdir (see --help)"),
        (["--workdir=w", "--epocs=3"], "error: Unknown command line flag 'epocs'. Did"),
        (["--epochs=many"], "error: flag --epochs=many: invalid literal for int()"),
        (["--epochs=0"], "error: flag --epochs=0: 0 is not a positive integer"),
        (["--split=dev"], "error: flag --split=dev: value should be one of"),
        (["--epochs"], "error: Missing value for flag --epochs"),
        (["--nofast=1"], "error: --nofast=1 does not take an argument"),
        (["--flagfile=no.cfg"], "error: no.cfg: expected a file of flags, or the name"),
        (
            ["--features=f", "--workdir=w", "--fast", "false"],
            "error: unexpected argument 'false': values are given as --flag=value",
        ),
    ],
)
def test_wrong_flags(entry: Run, arguments: list[str], line: str) -> None:
    done = entry(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("raise ValueError('a: wants x, found y')", "error: a: wants x, found y\n"),
        ("raise ValueError('first\\n  second')", "error: first\n"),
        ("raise ValueError", "error: ValueError\n"),
        ("open('no/file')", "error: no/file: No such file or directory\n"),
        ("open('.')", "error: .: Is a directory\n"),
        ("import os; os.listdir('hang.py')", "error: hang.py: Not a directory\n"),
        ("import os; os.mkdir('/')", "error: /: File exists\n"),
        (
            "raise FileExistsError('out: exists already')",
            "error: out: exists already\n",
        ),
        ("raise PermissionError(13, 'Denied', 'p')", "error: p: Denied\n"),
        ("open('x' * 256)", f"error: {'x' * 256}: File name too long\n"),
        (
            "raise ValueError('caf\\udce9.png: wants x')",
            "error: caf\\xe9.png: wants x\n",
        ),
        (
            "'a/caf\\udce9.png'.encode()",
            "error: expected text in UTF-8, found a/caf\\xe9.png\n",
        ),
    ],
)
def test_wrong_input(fault: Run, code: str, line: str) -> None:
    done = fault(code)
    assert (done.returncode, done.stderr) == (2, line)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("{}['k']", "error: KeyError: 'k' (--debug shows where)\n"),
        ("assert 1 > 2, 'sum'", "error: AssertionError: sum (--debug shows where)\n"),
        (
            "raise OSError(5, 'Input/output error', 'f')",
            "error: OSError: f: Input/output error (--debug shows where)\n",
        ),
    ],
)
def test_failures(fault: Run, code: str, line: str) -> None:
    done = fault(code)
    assert (done.returncode, done.stderr) == (1, line)


@pytest.mark.parametrize(("error", "code"), [("ValueError", 2), ("RuntimeError", 1)])
def test_debug_shows_the_traceback(fault: Run, error: str, code: int) -> None:
    done = fault(f"raise {error}('wrong')", "--debug")
    assert done.returncode == code
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "hang.py" in done.stderr
    assert re.search(r"^error: .*wrong$", done.stderr.splitlines()[-1])


def test_names_in_other_encodings_are_printed(fault: Run) -> None:
    done = fault("print('caf\\udce9.png and café 🖼.png')")
    assert done.stderr == ""
    assert done.stdout.endswith("\ncaf\\xe9.png and café 🖼.png\n")


def test_exit_code_of_main(fault: Run) -> None:
    assert fault("code = 3").returncode == 3
    done = fault("raise SystemExit('three faults')")
    assert (done.returncode, done.stderr) == (1, "three faults\n")


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, b"interrupted\n"),
        # Left to the system, so that batch schedulers see what they did.
        (signal.SIGTERM, -signal.SIGTERM, b""),
    ],
)
def test_signals(start: Start, number: signal.Signals, code: int, line: bytes) -> None:
    with start("--fault=import time; time.sleep(60)") as process:
        assert process.stdout and process.stderr
        process.stdout.readline()  # main is running
        process.send_signal(number)
        assert process.wait(timeout=120) == code
        assert process.stderr.read() == line


def test_an_error_of_a_library_that_lost_ctrl_c_is_an_interrupt(fault: Run) -> None:
    done = fault("""
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    loaded = None
loaded.keys()
""")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


# A callback that is interrupted; Python goes on as if nothing had happened.
_LOST = {
    "garbage collection": """
import gc, os, signal, time
def callback(phase, info):
    gc.callbacks.clear()
    os.kill(os.getpid(), signal.SIGINT)
gc.callbacks.append(callback)
gc.collect()
""",
    "finaliser": """
import os, signal, time
class Museum:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
Museum()
""",
    "weak reference": """
import os, signal, time, weakref
class Museum:
    pass
museum = Museum()
reference = weakref.ref(museum, lambda _: os.kill(os.getpid(), signal.SIGINT))
del museum
""",
}


@pytest.mark.parametrize("place", _LOST)
def test_an_interrupt_is_not_lost_in_a_callback(fault: Run, place: str) -> None:
    # What is to be undone is undone.
    waits = """
try:
    time.sleep(60)
finally:
    print("undone", flush=True)
"""
    done = fault(_LOST[place] + waits)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert done.stdout == "f 25 ['a', 'b']\nundone\n"


def test_other_faults_in_callbacks_are_shown(fault: Run) -> None:
    done = fault("import gc; gc.callbacks.append(lambda *_: 1 / 0); gc.collect()")
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_a_second_interrupt_ends_what_the_first_has_not(start: Start) -> None:
    code = """
import atexit, os, signal, time
atexit.register(time.sleep, 60)
atexit.register(os.kill, os.getpid(), signal.SIGINT)
raise KeyboardInterrupt
"""
    with start(f"--fault={code}") as process:
        assert process.stderr
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"interrupted\n"


def test_what_libraries_say_after_an_interrupt_is_not_shown(fault: Run) -> None:
    code = """
import atexit, os
atexit.register(os.write, 2, b"Traceback")
raise KeyboardInterrupt
"""
    done = fault(code)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_interrupts_that_are_ignored_stay_ignored(start: Start) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:  # as shells start what runs in the background
        process = start("--fault=import os, signal; os.kill(os.getpid(), 2)")
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.wait(timeout=30) == 0


def test_closed_stdout_is_no_fault(start: Start) -> None:
    with start() as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.wait(timeout=120) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("flag", ["--help", "-h", "-?", "--helpshort"])
def test_help(entry: Run, flag: str) -> None:
    # A wrong flag beside it does not matter.
    done = entry("--wrong", flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
Hangs museums.

Takes them from a store.

Usage: python -m hang --features=VALUE --workdir=VALUE [--flag=value ...]

Required flags:
  --features=VALUE
      Where they are.
  --workdir=VALUE
      Where they go.

Flags:
  --epochs=INTEGER
      How often. Default: 25.
  --split=train|test
      Which. Default: test.
  --tags=A,B,...
      Words. Default: a,b.
  --[no]fast
      In a hurry.
  --fault=VALUE
      Python that is run.

Every entry:
  --flagfile=FILE
      Read flags from FILE, one per line, or from one that comes with hm3_jax,
      such as stl; # starts a comment.
  --debug
      Show tracebacks and the libraries' log lines.
  --help, --helpfull
      Show this page; show the libraries' flags as well.
"""
    )


def test_helpfull_shows_other_modules_too(entry: Run) -> None:
    done = entry("--helpfull")
    assert done.returncode == 0
    assert "hm3_jax.cli.frame:" in done.stdout
    assert "--features" in done.stdout


def test_warnings_of_ours_are_one_line_and_others_hidden(fault: Run) -> None:
    code = (
        "import warnings, logging; from absl import logging as absl_logging;"
        "warnings.warn('kept')"
    )
    others = (
        "exec(compile('warnings.warn(\"theirs\")', 'f', 'exec'),"
        "{'__name__': 'orbax.x', 'warnings': warnings});"
        "logging.getLogger('jax._src.xla_bridge').warning('no GPU');"
        "absl_logging.warning('noise')"
    )
    done = fault(f"__name__ = '__main__'; {code}; {others}")
    assert (done.returncode, done.stderr) == (0, "warning: kept\n")
    loud = fault(f"__name__ = '__main__'; {code}; {others}", "--debug")
    for text in ("kept", "theirs", "no GPU", "noise"):
        assert text in loud.stderr
