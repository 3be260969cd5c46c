"""Compiled programs kept between processes, so that each is compiled once."""

import hashlib
import os
import platform
from pathlib import Path

import jax

from hm3_jax.data.user_cache import user_cache
from hm3_jax.learn.devices.sound_programs import compare_what_is_read

# Programs that compile faster are not worth a file.
_SECONDS = 0.3
_MOST_BYTES = 2 * 2**30
# Of the files, which other versions cannot read.
_FORM = "2"


def keep_compiled_programs() -> Path | None:
    """Lets JAX keep compiled programs in the user's cache, least used ones go first.

    What the user has told JAX (`JAX_COMPILATION_CACHE_DIR`,
    `JAX_ENABLE_COMPILATION_CACHE`) stays. A folder is for processors of one kind: a
    home may be shared by machines that cannot run each other's programs.

    Returns:
        The folder; None where the user wants none.
    """
    kept = "JAX_COMPILATION_CACHE_DIR"
    if kept in os.environ or not jax.config.values["jax_enable_compilation_cache"]:
        return Path(os.environ[kept]) if os.environ.get(kept) else None
    kind = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    folder = user_cache("programs") / f"{kind}-{_FORM}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    compare_what_is_read(folder)
    return folder


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), "")
