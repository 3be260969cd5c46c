#!/usr/bin/env bash
# Serves an index of museums as a web page.
#
#   bash launch/serve.sh [INDEX [FLAG ...]]
#
#   INDEX  index that build_index made (the demo's if not given)
#   FLAG   flags of hm3_jax.serve, for example --port=8080 or
#          --museums=museums.jsonl
#
# Installs what it needs into .venv.
set -euo pipefail
case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
index="" calling="$PWD"
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  index="$(realpath -m "$1")"
  shift
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
index="${index:-$PWD/build/demo/index}"
if [ ! -e "$index/manifest.json" ]; then
  echo "serve: no index at $index; bash launch/demo.sh makes one at build/demo/index" >&2
  exit 2
fi
bash launch/setup.sh core serving
python="$PWD/.venv/bin/python"
# Paths among the flags are relative to the caller's folder.
cd "$calling"
exec "$python" -m hm3_jax.serve --index="$index" "$@"
