"""Limits the memory and time that a pickle may use, before it is loaded.

A pickle of a few bytes can make its table of objects grow to any size, allocate bytes
that the file does not have, or nest containers so often that nobody gets to the end.
`check_program` looks at the operations and executes none.
"""

from __future__ import annotations

import dataclasses
import mmap
import pickletools

# A container's parts, with those that it has several times, by bytes of the file: one
# that shares nothing has fewer than one a byte.
_MOST_PARTS = 16


class RefusedPickle(ValueError):
    """A pickle asked for something that rebuilding tensors does not take."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Operation:
    """What an operation takes from the file and from the stack of objects.

    Attributes:
        name: Of the operation.
        bytes: Its argument's, or, where it has a size of its own, those of the size.
        sized: Whether as many bytes follow as the argument says.
        lines: Its argument's, each up to a line's end.
        to_mark: Whether it takes what lies above the topmost mark, and the mark.
        takes: Objects, below a mark that it takes.
        gives: Objects.
    """

    name: str
    bytes: int
    sized: bool
    lines: int
    to_mark: bool
    takes: int
    gives: int

    @classmethod
    def of(cls, known: pickletools.OpcodeInfo) -> _Operation:
        sizes = {
            pickletools.TAKEN_FROM_ARGUMENT1: 1,
            pickletools.TAKEN_FROM_ARGUMENT4: 4,
            pickletools.TAKEN_FROM_ARGUMENT4U: 4,
            pickletools.TAKEN_FROM_ARGUMENT8U: 8,
        }
        length = 0 if known.arg is None else known.arg.n
        in_lines = length == pickletools.UP_TO_NEWLINE
        # Names come with their module, each in its own line.
        lines = in_lines * (2 if known.name in ("GLOBAL", "INST") else 1)
        before = known.stack_before
        to_mark = pickletools.markobject in before
        return cls(
            known.name,
            0 if in_lines else sizes.get(length, length),
            length in sizes,
            lines,
            to_mark,
            before.index(pickletools.markobject) if to_mark else len(before),
            len(known.stack_after),
        )


_OPERATIONS = {ord(known.code): _Operation.of(known) for known in pickletools.opcodes}
Data = memoryview | mmap.mmap
"""Bytes that are looked at where they are."""

_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")


def check_program(data: Data, at: int) -> None:
    """Checks a pickle.

    Args:
        data: The bytes that it is among.
        at: Where it begins.

    Raises:
        RefusedPickle: It would take more memory or time than its size justifies.
        ValueError: It is damaged: cut short, or no pickle.
    """
    # The number of parts of each object, None for a mark; lists that grow later count
    # as they are.
    stack: list[int | None] = []
    table: dict[int, int] = {}
    while True:
        operation = _OPERATIONS.get(data[at])
        if operation is None:
            raise ValueError(f"no pickle has the operation {data[at]}")
        start = at + 1
        at = _end(data, start, operation)
        if operation.name == "STOP":
            return
        if operation.name in _PUTS:
            place = _argument(data, start, at, operation)
            if place > len(data):
                raise RefusedPickle(
                    f"expected at most {len(data)} objects, found number {place}: "
                    "refused"
                )
            table[place] = _top(stack)
            continue
        if operation.name == "MEMOIZE":
            table[len(table)] = _top(stack)
            continue
        if operation.name in _GETS:
            stack.append(table[_argument(data, start, at, operation)])
            continue
        if operation.name == "MARK":
            stack.append(None)
            continue
        if operation.name == "POP":
            stack.pop()
            continue
        parts = 1
        if operation.to_mark:
            while (part := stack.pop()) is not None:
                parts += part
        for _ in range(operation.takes):
            parts += _top(stack)
            stack.pop()
        if parts > _MOST_PARTS * len(data):
            raise RefusedPickle(
                "expected only tensors, found containers that hold one another many "
                "times over: refused"
            )
        stack += [parts] * operation.gives


def _end(data: Data, start: int, operation: _Operation) -> int:
    """Where an operation's argument ends."""
    end = start + operation.bytes
    if operation.sized:
        end += int.from_bytes(data[start:end], "little")
    for _ in range(operation.lines):
        while data[end] != ord("\n"):
            end += 1
        end += 1
    if end > len(data):
        raise EOFError(f"{end - len(data)} bytes are missing")
    return end


def _argument(data: Data, start: int, end: int, operation: _Operation) -> int:
    if operation.lines:
        return int(bytes(data[start:end]))
    return int.from_bytes(data[start:end], "little")


def _top(stack: list[int | None]) -> int:
    top = stack[-1]
    if top is None:
        raise ValueError("an operation lacks its objects")
    return top
