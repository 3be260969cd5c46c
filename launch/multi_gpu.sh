#!/usr/bin/env bash
# Trains on all GPUs of this machine, as one process.
#
#   bash launch/multi_gpu.sh [train|sweep] FLAG ...
#
#   train|sweep  the command; train if not given
#   FLAG         its flags, for example --features=STORE --workdir=runs
#
# Runs are spread over the GPUs first; remaining GPUs share the batches of a run.
# --num_devices=N uses N of them.
#
# Environment:
#   CUDA_VISIBLE_DEVICES  the GPUs to use, for example 0,1
#   PYTHON                the Python to use; .venv's if not given
set -euo pipefail
case "${1:-}" in
  "" | -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    [ $# -gt 0 ] && exit 0
    exit 2
    ;;
esac
command=train
case "$1" in
  train | sweep)
    command="$1"
    shift
    ;;
  -*) ;;
  *)
    echo "multi_gpu: expected train or sweep, found '$1'" >&2
    exit 2
    ;;
esac
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"

"$python" - <<'PYTHON'
"""Refuses a machine whose GPUs JAX does not see: the CPU would be used unnoticed."""
import sys

import jax

found = jax.devices()
if found[0].platform != "gpu":
    sys.exit("multi_gpu: expected GPUs, but JAX finds none (launch/setup.sh)")
print(f"multi_gpu: {len(found)} x {found[0].device_kind}")
PYTHON
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" \
  exec "$python" -m "hm3_jax.$command" --distributed=off "$@"
