#!/usr/bin/env bash
# Runs docs/tour.ipynb and saves its outputs, in a minute or two. Sets up .venv first.
#
#   bash launch/tour.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash launch/setup.sh core analysis docs serving
.venv/bin/python -m docs.site.tour
echo "tour: open docs/tour.ipynb in Jupyter or an editor"
