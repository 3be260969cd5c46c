#!/usr/bin/env bash
# Runs every check: style, types, tests. Sets up .venv first.
#
#   bash launch/test.sh [--long] [PYTEST ARGUMENT ...]
#
#   --long   also the tests marked slow
#
# Environment:
#   HM3_JAX_SETUP=core  install no torch: its tests are skipped, and so are the types,
#                       which need torch's
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

marked=(-m "not slow")
if [ "${1:-}" = --long ]; then
  marked=()
  shift
fi

mode="${HM3_JAX_SETUP:-full}"
bash launch/setup.sh "$mode" analysis docs hub logging serving test
python=.venv/bin/python

echo "test: style"
"$python" -m ruff check --quiet .
"$python" -m ruff format --quiet --check .
if [ "$mode" = full ]; then
  echo "test: types"
  PYRIGHT_PYTHON_IGNORE_WARNINGS=1 "$python" -m pyright
else
  echo "test: types are checked only with HM3_JAX_SETUP=full"
fi
echo "test: behaviour"
exec "$python" -m pytest --quiet --numprocesses=auto --maxprocesses=4 \
  --dist=worksteal ${marked[@]+"${marked[@]}"} "$@"
