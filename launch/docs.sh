#!/usr/bin/env bash
# Builds the documentation as a website in build/docs: guides, tour, every command and
# every module. Warnings count as errors. Sets up .venv first.
#
#   bash launch/docs.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash launch/setup.sh core docs serving
.venv/bin/python -m docs.site.build build
echo "docs: open build/docs/index.html in a browser; its search needs a server:"
echo "  python3 -m http.server --directory build/docs"
