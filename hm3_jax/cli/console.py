"""The command `hm3-jax`, and `python -m hm3_jax`: lists the commands, and runs one.

  hm3-jax NAME --flag=value ...

is `python -m hm3_jax.NAME --flag=value ...`.
"""

import ast
import difflib
import os
import sys
from pathlib import Path
from typing import NoReturn

from hm3_jax import __version__
from hm3_jax.cli import interrupts

_PACKAGE = Path(__file__).resolve().parents[1]
_MAIN = '\nif __name__ == "__main__":\n'
# The published name is a folder's, which only runs the module.
_CALLED = {"inspect_features": "inspect"}


def commands() -> dict[str, str]:
    """All commands by name, with the first line of what each says about itself."""
    texts = {path.stem: path.read_text() for path in sorted(_PACKAGE.glob("*.py"))}
    return {
        _CALLED.get(name, name): (ast.get_docstring(ast.parse(text)) or "").split(
            "\n", 1
        )[0]
        for name, text in texts.items()
        if _MAIN in text
    }


def main() -> NoReturn:
    """Runs what `sys.argv` names.

    Raises:
        SystemExit: If it runs none: with exit code 0 after the list, and 2 for a name
            that is not a command.
    """
    interrupts.end_at_once()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name == "--version":
        print(f"hm3_jax {__version__}")
        sys.exit(0)
    known = commands()
    if name in ("-h", "--help", "help"):
        print("\n".join(_page(known)))
        sys.exit(0)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        print(
            f"error: expected a command, found {name!r} ({hint}hm3-jax lists all)",
            file=sys.stderr,
        )
        sys.exit(2)
    command = [sys.executable, "-m", f"hm3_jax.{name}", *arguments]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _page(known: dict[str, str]) -> list[str]:
    width = max(map(len, known))
    return [
        f"hm3_jax {__version__}: text-to-museum retrieval with HM3",
        "",
        "Usage: hm3-jax NAME [--flag=value...], or python -m hm3_jax.NAME ...",
        "",
        *(f"  {name:{width}}  {line}" for name, line in known.items()),
        "",
        "hm3-jax NAME --help explains one; --version says which hm3_jax this is.",
    ]
