#!/usr/bin/env bash
# Checks and measures everything on this machine's GPUs: equality with the published
# numbers, speed beside PyTorch, search, extraction, memory, several GPUs.
#
#   bash launch/gpu_check.sh [--minutes=9] [--output=gpu_check] [--work=DIR] [--miniature]
#
#   --minutes    time to use; what matters most comes first
#   --output     gets results.json and results.md, number by number
#   --work       gets generated data and logs; OUTPUT if not given
#   --miniature  a rehearsal on a CPU: everything is as small as possible
#
# Uses .venv if it has JAX, otherwise a python3 with JAX; otherwise it makes .venv, which
# needs a network. Packages that are not installed are named, and their measurements left
# out; PYTHONPATH can name a folder with packages.
#
# Environment:
#   PYTHON  the Python to use
set -euo pipefail
case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

has_jax() { # COMMAND: is a Python that runs here, is new enough and has JAX
  "$1" -c 'import sys, jax; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python="${PYTHON:-}"
if [ -z "$python" ]; then
  for candidate in "$root/.venv/bin/python" python3; do
    if has_jax "$candidate"; then
      python="$candidate"
      break
    fi
  done
fi
if [ -z "$python" ]; then
  bash "$root/launch/setup.sh" core extraction test
  python="$root/.venv/bin/python"
fi
# Every stage is a process of its own, which need not compile our modules anew.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -P -m benchmarks.gpu "$@"
