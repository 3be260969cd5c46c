"""Shows what is in a feature store; with --verify, also checks it for damage.

The summary has splits, themes, counts, and the origin of each kind of feature.

  python -m hm3_jax.inspect --features=STORE [--verify] [--json]
"""

from __future__ import annotations

import json
import sys

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.data.open_features import FEATURES_HELP, open_features, store_folder
from hm3_jax.data.store import open_store
from hm3_jax.data.summary import render, summarize
from hm3_jax.data.verify import verify_store

_FEATURES = path_flags.define_path("features", None, FEATURES_HELP, required=True)
_VERIFY = flags.DEFINE_bool(
    "verify",
    False,
    "Check every byte and every reference; lists the problems and exits 1 if there "
    "are any.",
)
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")


def main() -> int:
    """Prints the store's summary, or its problems; returns the exit code."""
    path = store_folder(_FEATURES.value)
    problems = verify_store(path) if _VERIFY.value else []
    if problems:
        if _JSON.value:
            print(json.dumps({"path": str(path), "problems": problems}, indent=1))
        for problem in problems:
            print(f"problem: {problem}", file=sys.stderr)
        return 1
    # Verified, it needs not be compared with its checksums again.
    verified = _VERIFY.value
    summary = summarize(open_store(path) if verified else open_features(str(path)))
    if _JSON.value:
        print(json.dumps(summary, indent=1))
        return 0
    print(render(summary))
    if _VERIFY.value:
        print("\nverified: every byte is as it was written")
    return 0


if __name__ == "__main__":
    frame.run(main, ends_at_once=True)
