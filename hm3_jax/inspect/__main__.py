"""The published name of `inspect_features`.

This folder has no `__init__.py` on purpose: as a namespace it never hides the standard
library's `inspect`, which comes first wherever the package's folder is on the path.
"""

import runpy

runpy.run_module("hm3_jax.inspect_features", run_name="__main__", alter_sys=True)
