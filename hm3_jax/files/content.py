"""Recognises files that are not what their names say, by their first bytes."""

from __future__ import annotations

_GIT_LFS = b"version https://git-lfs.github.com/spec/"
_ANSWERS = (b'{"error', b'{"message', b"<?xml")
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


def what_a_text_is(head: bytes) -> str | None:
    """Names the texts that stand in the place of a file that was not fetched.

    Args:
        head: The first bytes of a file.

    Returns:
        What the file is and what to do about it, or None if it is something else.
    """
    if head.startswith(_GIT_LFS):
        return "a git-lfs pointer to it: fetch the file itself (git lfs pull)"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    if start.startswith(_PAGES):
        return "an HTML page, such as a server's error or sign-in: download it again"
    if start.startswith(_ANSWERS):
        return "a server's answer in JSON or XML: download it again"
    return None
