"""The command that lists all commands, and runs one."""

import os
import runpy
import sys

import pytest

import hm3_jax
from hm3_jax.cli import console
from tests.test_imports import entries_of


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs a command line in this process: exit code, stdout, stderr, what it ran."""
    ran = []
    monkeypatch.setattr(os, "execv", lambda program, words: ran.append(words))
    monkeypatch.setattr(console.interrupts, "end_at_once", lambda: None)

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["hm3-jax", *arguments])
        code = None
        try:
            runpy.run_module("hm3_jax", run_name="__main__")
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr(), [words[1:] for words in ran]

    return run


def test_all_commands_are_listed_with_what_they_do(typed, repository):
    names = entries_of(repository / "hm3_jax") - {"inspect_features"} | {"inspect"}
    assert set(console.commands()) == names
    for arguments in ((), ("--help",), ("-h",), ("help",)):
        code, shown, said, ran = typed(*arguments)
        assert (code, said, ran) == (0, "", [])
        lines = dict(
            line.split(maxsplit=1)
            for line in shown.splitlines()
            if line.startswith("  ")
        )
        assert lines == console.commands()
    assert lines["train"].startswith("Trains strategies on a feature store")


def test_one_is_run_by_its_module(typed):
    assert typed("inspect", "--features=f", "--json") == (
        None,
        "",
        "",
        [["-m", "hm3_jax.inspect", "--features=f", "--json"]],
    )


def test_which_version_it_is(typed):
    assert typed("--version") == (0, f"hm3_jax {hm3_jax.__version__}\n", "", [])


@pytest.mark.parametrize(
    ("name", "hint"), [("trian", "did you mean train? "), ("--features=f", "")]
)
def test_what_is_no_command(typed, name, hint):
    assert typed(name) == (
        2,
        "",
        f"error: expected a command, found {name!r} ({hint}hm3-jax lists all)\n",
        [],
    )
