"""Where compiled programs are kept, and when they are not."""

import jax
import pytest

from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs

FLAG = "JAX_COMPILATION_CACHE_DIR"
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    before = {name: jax.config.values[name] for name in SETTINGS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(FLAG, raising=False)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_they_are_in_the_users_cache(home):
    folder = keep_compiled_programs()
    assert folder is not None
    assert folder.parent == home / "hm3_jax" / "programs"
    assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
    assert keep_compiled_programs() == folder


def test_what_the_user_has_said_stays(home, monkeypatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv(FLAG, str(home / "mine"))
    assert keep_compiled_programs() == home / "mine"
    monkeypatch.setenv(FLAG, "")
    assert keep_compiled_programs() is None
    monkeypatch.delenv(FLAG)
    jax.config.update("jax_enable_compilation_cache", False)
    assert keep_compiled_programs() is None
    assert jax.config.values["jax_compilation_cache_dir"] == before
