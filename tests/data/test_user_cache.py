import os
import pwd
from pathlib import Path

import pytest

from hm3_jax.cli.path_flags import with_home
from hm3_jax.data import user_cache as module
from hm3_jax.data.user_cache import provide_cache, user_cache


@pytest.fixture(autouse=True)
def only_this_test_sets_it(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # so that it is put back afterwards
    monkeypatch.delenv("XDG_CACHE_HOME")


@pytest.fixture
def removals(monkeypatch):
    """What is to be done when the process ends."""
    kept = []
    monkeypatch.setattr(
        module.atexit,
        "register",
        lambda done, *given, **named: kept.append(lambda: done(*given, **named)),
    )
    return kept


@pytest.fixture
def no_home(monkeypatch):
    """As in a container whose user is a number that no file knows."""

    def unknown(uid):
        raise KeyError(uid)

    # Set first, so that it is put back even where there is none now.
    monkeypatch.setenv("HOME", "x")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(module, "_homes", [])
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_the_cache_is_in_the_home_or_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache("a") == tmp_path / ".cache" / "hm3_jax" / "a"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache("a") == tmp_path / ".cache" / "hm3_jax" / "a"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert user_cache("a") == tmp_path / "c" / "hm3_jax" / "a"
    assert provide_cache() is None
    assert os.listdir(tmp_path) == []


def test_without_a_home_there_is_a_cache_until_the_end(no_home, removals):
    with pytest.raises(FileNotFoundError, match="expected a cache below the user's ho"):
        user_cache("a")
    note = provide_cache()
    assert note is not None and "the user has no home (XDG_CACHE_HOME can" in note
    folder = Path(os.environ["XDG_CACHE_HOME"])
    assert folder.is_dir() and user_cache("a").is_relative_to(folder)
    assert provide_cache() is None  # said once
    # Libraries find a home, but nobody's results are put where they would be removed.
    home = Path.home()
    assert home.is_dir()
    with pytest.raises(ValueError, match="expected ~ to be a home, found none"):
        with_home("~/runs")
    for remove in removals:
        remove()
    assert not folder.exists() and not home.exists()


def test_a_cache_makes_no_home(no_home, removals, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert provide_cache() is None
    assert user_cache("a") == tmp_path / "hm3_jax" / "a"
    home = Path.home()
    assert home.is_dir()
    for remove in removals:
        remove()
    assert not home.exists()


def test_a_home_that_cannot_be_made_is_none(monkeypatch, tmp_path, removals):
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    monkeypatch.setenv("HOME", str(home))
    note = provide_cache()
    assert note is not None and f"{home}/.cache cannot be made" in note
    for remove in removals:
        remove()


def test_a_cache_that_cannot_be_written_to_is_read(monkeypatch, tmp_path):
    (tmp_path / ".cache").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert provide_cache() is None
