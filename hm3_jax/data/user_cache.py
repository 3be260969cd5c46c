"""Where things are kept that can be made again."""

import os
from pathlib import Path


def user_cache(kind: str) -> Path:
    """Folder below the user's cache; may not exist yet.

    Args:
      kind: what is kept there.
    """
    # The standard for such folders says that relative paths do not count.
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return root / "hm3_jax" / kind
