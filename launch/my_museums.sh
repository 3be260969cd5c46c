#!/usr/bin/env bash
# Makes a folder of museums searchable, and shows them as a web page.
#
#   bash launch/my_museums.sh FOLDER [FLAG ...]
#
#   FOLDER  has a folder for each museum, with a folder of pictures for each room
#   FLAG    flags of hm3_jax.collection, for example --port=8081 or --noserve
#
# Everything it makes is beside FOLDER, in FOLDER.collection. The same command continues
# where it stopped, and adds what is new in FOLDER. Installs what it needs into .venv.
set -euo pipefail
case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  "" | -*)
    echo "my_museums: expected a folder of museums (--help says more)" >&2
    exit 2
    ;;
esac
folder="$(realpath -m "$1")"
shift
if [ ! -d "$folder" ]; then
  echo "my_museums: $folder: expected a folder of museums, found none" >&2
  exit 2
fi
calling="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/setup.sh core extraction serving
python="$PWD/.venv/bin/python"
# Paths among the flags are relative to the caller's folder.
cd "$calling"
exec "$python" -m hm3_jax.collection --input="$folder" "$@"
