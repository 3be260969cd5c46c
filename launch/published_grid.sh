#!/usr/bin/env bash
# Trains the 12 published experiments; all settings and tries of a strategy train at
# once.
#
#   bash launch/published_grid.sh STORE WORKDIR [MUSEUMS3K_STORE] [FLAG ...]
#
#   STORE            features of genMuseums: 11 experiments of 4 strategies
#   WORKDIR          gets a folder for each experiment, as `train` writes it
#   MUSEUMS3K_STORE  features of Museums3k: 1 experiment of 6 strategies, which is left
#                    out if not given
#   FLAG             flags of hm3_jax.sweep, for example --resume
#
# To continue after an interruption, run the same command with --resume.
set -euo pipefail
if [ $# -lt 2 ] || [ "${1#-}" != "$1" ]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  case "${1:-}" in -h | --help) exit 0 ;; *) exit 2 ;; esac
fi
store="$(realpath -m "$1")" workdir="$(realpath -m "$2")"
shift 2
museums3k=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  museums3k="$(realpath -m "$1")"
  shift
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

sweep() { # STORE FILES FLAG ...: one program for each strategy of the files
  "$python" -m hm3_jax.sweep --features="$1" --workdir="$workdir" \
    --experiments="$2" "${@:3}"
}

experiments=configs/experiments
genmuseums=$(printf '%s\n' "$experiments"/stl.cfg "$experiments"/theme_*.cfg | paste -sd,)
sweep "$store" "$genmuseums" "$@"
if [ -n "$museums3k" ]; then
  sweep "$museums3k" "$experiments/hierart_comparison.cfg" "$@"
fi
