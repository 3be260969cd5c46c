#!/usr/bin/env bash
# Runs the checks: style, types, tests. Sets up .venv first.
#
#   bash launch/test.sh [--thorough|--long] [PYTEST ARGUMENT ...]
#
#   --thorough   also the tests marked thorough, as continuous integration does
#   --long       all tests, including those marked slow
#
# Environment:
#   HM3_JAX_SETUP=core  do not install torch: its tests are skipped, and so is the check
#                       of types, which needs torch
#
# The last lines name the tests that were left out, and the command that runs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

marked=(-m "not slow and not thorough")
case "${1:-}" in
  --thorough)
    marked=(-m "not slow")
    shift
    ;;
  --long)
    marked=()
    shift
    ;;
esac

mode="${HM3_JAX_SETUP:-full}"
bash launch/setup.sh "$mode" analysis docs hub logging serving test
python=.venv/bin/python

echo "test: style"
"$python" -m ruff check --quiet .
"$python" -m ruff format --quiet --check .
if [ "$mode" = full ]; then
  echo "test: types"
  PYRIGHT_PYTHON_IGNORE_WARNINGS=1 "$python" -m pyright
fi
echo "test: behaviour"
# Hundreds of processes import the same modules, which are compiled once.
unset PYTHONDONTWRITEBYTECODE
# Tests run side by side: threads of each one's libraries would wait for those of others.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
passed=0
"$python" -m pytest --quiet --numprocesses=auto --maxprocesses=4 \
  --dist=worksteal ${marked[@]+"${marked[@]}"} "$@" || passed=$?
if [ "$mode" != full ]; then
  echo "test: types were not checked either: bash launch/test.sh without HM3_JAX_SETUP"
fi
exit "$passed"
