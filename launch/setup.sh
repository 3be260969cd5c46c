#!/usr/bin/env bash
# Makes or reuses .venv at the top of the repository, with what hm3_jax needs.
#
#   bash launch/setup.sh [full|core] [EXTRA ...]
#
#   full    everything, including torch and the test tools (the default)
#   core    what training and search need
#   EXTRA   more extras of pyproject.toml, for example: core test
#
# Packages that .venv already has stay. If nothing is missing, it ends at once and needs
# no network.
#
# Environment:
#   HM3_JAX_PYTHON  the Python (3.11 or newer) that .venv is made from
#   HM3_JAX_EXTRA   the build of JAX: cuda12, cuda13 or cpu. By default cuda12 if
#                   nvidia-smi lists a GPU, otherwise cpu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*"; }

fail() {
  say "$*" >&2
  exit 1
}

mode="${1:-full}"
case "$mode" in
  full) extras="analysis docs extraction hub logging qdrant ray serving test tfds" ;;
  core) extras="" ;;
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *) fail "unknown mode '$mode': expected full or core" ;;
esac
extras="$extras ${*:2}"

build="${HM3_JAX_EXTRA:-}"
if [ -z "$build" ]; then
  build=cpu
  if nvidia-smi -L 2>/dev/null | grep -q "^GPU"; then build=cuda12; fi
fi
case "$build" in
  cpu) ;;
  cuda12 | cuda13) extras="$extras $build" ;;
  *) fail "HM3_JAX_EXTRA is '$build': expected cuda12, cuda13 or cpu" ;;
esac

works() { # COMMAND: is a Python that runs here and is new enough
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
  local candidate base=""
  for candidate in ${HM3_JAX_PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if works "$candidate"; then
      base="$candidate"
      break
    fi
  done
  if [ -z "$base" ]; then
    fail "Python 3.11 or newer is needed, and ${HM3_JAX_PYTHON:-python3} is not one;" \
      "name one in HM3_JAX_PYTHON"
  fi
  say "making .venv with $("$base" --version)"
  "$base" -m venv --clear .venv ||
    fail "could not make .venv (on Debian and Ubuntu: apt-get install python3-venv)"
}

install() { # EXTRA,EXTRA,...
  local target=".${1:+[$1]}" log=.venv/setup.log
  say "installing hm3_jax${1:+ with $1}; the first time takes a minute or more"
  case "$1" in *extraction*) say "torch and its libraries take about 6 GB" ;; esac
  if command -v uv >/dev/null; then
    uv pip install --python .venv/bin/python --editable "$target" >"$log" 2>&1
  else
    .venv/bin/python -m pip install --editable "$target" >"$log" 2>&1
  fi || {
    { grep "ERROR:" "$log" || cat "$log"; } | tail -n 3 >&2
    fail "packages could not be installed; the whole log is in $log"
  }
}

check() { # MODULES: are importable together
  .venv/bin/python -c "import $1" 2>.venv/check.log || {
    tail -n 1 .venv/check.log >&2
    fail "the installed packages do not work together ($1);" \
      "remove .venv and run this again"
  }
}

# Two scripts started side by side must not install at the same time.
if command -v flock >/dev/null; then
  exec 9>.setup.lock
  flock --nonblock 9 || {
    say "waiting for another setup of this folder"
    flock 9
  }
fi

works .venv/bin/python || make_venv

# The stamp's first line stands for all that decides which packages are installed;
# its second line lists the extras that are.
stamp=.venv/hm3_jax.stamp
fingerprint="$({
  sed '/^\[tool\./,$d' pyproject.toml
  cat launch/setup.sh
  .venv/bin/python --version
  pwd -P
} | cksum)"
previous="" installed=""
if [ -f "$stamp" ]; then { read -r previous && read -r installed; } <"$stamp" || true; fi
wanted="$(echo "$installed $extras" | tr -s ' ' '\n' | sort -u | xargs)"
if [ "$previous" = "$fingerprint" ] && [ "$wanted" = "$installed" ]; then exit 0; fi

rm -f "$stamp"
install "${wanted// /,}"
check "jax, flax, optax, orbax.checkpoint, hm3_jax"
case " $wanted " in *" extraction "*) check "torch, torchvision, open_clip" ;; esac
printf '%s\n%s\n' "$fingerprint" "$wanted" >"$stamp"
say "done"
