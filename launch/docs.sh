#!/usr/bin/env bash
# Builds the documentation as a web site in build/docs: guides, tour, every command and
# every module. Whatever Sphinx warns of is an error. Sets up .venv first.
#
#   bash launch/docs.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash launch/setup.sh core analysis docs serving
python=.venv/bin/python
# Modules are imported to read their docstrings; that takes no accelerator.
export JAX_PLATFORMS=cpu

"$python" docs/site/pages.py build/docs_pages
"$python" -m sphinx --quiet --fail-on-warning --jobs=auto -c docs/site \
  -d build/docs_pages.read build/docs_pages build/docs
echo "docs: open build/docs/index.html in a browser"
