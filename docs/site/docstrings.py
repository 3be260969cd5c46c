"""From the docstrings of the package to reStructuredText, which Sphinx reads.

The docstrings are plain text with Google's sections and some habits of Markdown: names
between backticks, tables with bars, indented examples. Whatever else looks like markup
(`*`, `|`, a trailing `_`) is meant as it stands.
"""

import re
import sys
from collections.abc import Callable, Sequence

PACKAGE = "hm3_jax"

_SECTION = re.compile(r"(Args|Attributes|Raises|References|Returns|Yields):$")
_CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# A bullet, or the name of an argument: markup, or napoleon's to escape.
_BEGINNING = re.compile(r"\s*(?:[-*] |\*{0,2}\w+(?: \([^)]*\))?: ?)?")
_MARKUP = re.compile(r"[*|\\]|_(?!\w)")

Resolve = Callable[[str], str | None]


def to_restructured_text(lines: Sequence[str], resolve: Resolve) -> list[str]:
    """Rewrites a docstring.

    Args:
        lines: The docstring, without the indentation of the code.
        resolve: The full name of what a name between backticks stands for, or None
            for what is only code.

    Returns:
        reStructuredText, with Google's sections as they were, for napoleon to read.

    Raises:
        ValueError: If a table has no rule below its head, or rows of unequal length.
    """
    rewritten: list[str] = []
    in_section = False
    position = 0
    while position < len(lines):
        line = lines[position]
        in_section = in_section or bool(_SECTION.match(line))
        is_example = line[:1] == " " and not in_section
        if line.lstrip().startswith((">>> ", "... ")):
            block = [line]
            rewritten.append(line)
        elif line.startswith("|"):
            block = _while(lines, position, lambda text: text.startswith("|"))
            rewritten += _table(block, resolve)
        elif is_example and position and not lines[position - 1]:
            block = _while(lines, position, lambda text: text[:1] in ("", " "))
            rewritten += _example(block)
        elif line:
            # Together, because code between backticks may go on in the next line.
            block = _while(lines, position, lambda text: text and text[0] != "|")
            rewritten += _text(block, resolve)
            in_section = in_section or any(map(_SECTION.match, block))
        else:
            block = [line]
            rewritten.append(line)
        position += len(block)
    return rewritten


def resolver(name: str) -> Resolve:
    """What names mean in the docstring of `name`, a full name of the package."""
    module_name = name
    while module_name not in sys.modules:
        module_name = module_name.rpartition(".")[0]
    owners = [sys.modules[module_name]]
    inside = name.removeprefix(module_name).strip(".").split(".")
    owner = getattr(owners[0], inside[0], None)
    if isinstance(owner, type):
        owners.insert(0, owner)

    def resolve(text: str) -> str | None:
        first, _, rest = text.partition(".")
        if f"{PACKAGE}.{first}" in sys.modules:
            return f"{PACKAGE}.{text}"
        for owner in owners:
            found = getattr(owner, first, None)
            if str(getattr(found, "__module__", "")).partition(".")[0] == PACKAGE:
                full = f"{found.__module__}.{getattr(found, '__qualname__', first)}"
                return f"{full}.{rest}" if rest else full
        return None

    return resolve


def _while(
    lines: Sequence[str], start: int, belongs: Callable[[str], object]
) -> list[str]:
    end = start + 1
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return list(lines[start:end])


def _example(block: Sequence[str]) -> list[str]:
    language = "bash" if block[0].lstrip().startswith(("python", "bash")) else "text"
    shown = [f"   {line}".rstrip() for line in block]
    return [f".. code-block:: {language}", "", *shown, ""]


def _table(block: Sequence[str], resolve: Resolve) -> list[str]:
    head, rule, *body = (
        [cell.strip() for cell in line.strip("| ").split("|")] for line in block
    )
    if not set("".join(rule)) <= set("-: "):
        raise ValueError(f"expected a rule below the head of a table, found {block[1]}")
    shown = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *body):
        marks = ["   * - ", *["     - "] * (len(head) - 1)]
        for mark, cell in zip(marks, row, strict=True):
            shown += [(mark + "\n".join(_text([cell], resolve))).rstrip()]
    return [*shown, ""]


def _text(block: Sequence[str], resolve: Resolve) -> list[str]:
    """Code becomes references or literals, and what only looks like markup text."""
    pieces = _CODE.split("\n".join(block))
    for number, piece in enumerate(pieces):
        if number % 2:
            # `Leaf`s: markup has to end where a word ends.
            joint = "\\ " if pieces[number + 1][:1].isalnum() else ""
            pieces[number] = _code(piece.strip("`"), resolve) + joint
        else:
            lines = piece.split("\n")
            begins = [number == 0] + [True] * (len(lines) - 1)
            pieces[number] = "\n".join(map(_escape, lines, begins))
    return "".join(pieces).split("\n")


def _escape(text: str, begins_line: bool) -> str:
    start = _BEGINNING.match(text).end() if begins_line else 0  # pyright: ignore
    return text[:start] + _MARKUP.sub(r"\\\g<0>", text[start:])


def _code(text: str, resolve: Resolve) -> str:
    full = resolve(text) if _NAME.fullmatch(text) else None
    return f":py:obj:`{text} <{full}>`" if full else f"``{text}``"
