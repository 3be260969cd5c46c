#!/usr/bin/env bash
# Trains and tests HM3 on a small generated museum set, reports on it, and answers a
# query with it: a few minutes on a CPU.
#
#   bash launch/demo.sh [FOLDER]
#
# Everything goes into FOLDER (build/demo without a word). What an earlier demo left
# there is replaced.
set -euo pipefail
case "${1:-}" in
  "") folder=build/demo ;;
  /*) folder="$1" ;;
  *) folder="$PWD/$1" ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

strategy=hier_by_room_rnn_meanPoolProc_video
mark="$folder/.hm3_jax_demo"
if [ -d "$folder" ] && [ ! -e "$mark" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "demo: $folder holds other things; name an empty or new folder" >&2
  exit 2
fi

bash launch/setup.sh core analysis
python=.venv/bin/python
rm -rf "$folder"
mkdir -p "$folder"
touch "$mark"

echo "demo: 1/5 generating 1,000 museums"
"$python" -m hm3_jax.synthesize --output="$folder/store" --museums=1000 --seed=1

echo "demo: 2/5 training $strategy"
"$python" -m hm3_jax.train --features="$folder/store" --workdir="$folder/runs" \
  --config_files="configs/strategies/pov_and_video/$strategy.json" \
  --experiment_name=demo --seed=1 --number_of_tries=1 --epochs=10 --batch_size=64 \
  --lr=0.0005 --scheduler_step_size=5 --loss_margin=0.25

echo "demo: 3/5 testing what was trained"
try="$(echo "$folder/runs/demo/$strategy"/try_*)"
"$python" -m hm3_jax.evaluate --checkpoint="$try" --features="$folder/store" \
  --split=test --output="$folder/test"

"$python" - "$folder/test" <<'PYTHON'
"""Prints the retrieval figures of a test beside those of a random ranking."""
import json
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
metrics = json.loads((folder / "metrics.json").read_text())
with np.load(folder / "embeddings.npz") as arrays:
    museums = len(arrays[arrays.files[0]])
reciprocal_ranks = 1 / np.arange(1, museums + 1)
chance = {f"R@{k}": 100 * min(k, museums) / museums for k in (1, 5, 10)}
chance |= {"median_rank": (museums + 1) / 2, "mAP": 100 * reciprocal_ranks.mean()}
print(f"\n{museums} test museums  description->museum  museum->description  chance")
for name, value in chance.items():
    t2s, s2t = metrics[f"t2s_{name}"], metrics[f"s2t_{name}"]
    print(f"{name:<16} {t2s:>19.1f} {s2t:>20.1f} {value:>7.1f}")
PYTHON

echo
echo "demo: 4/5 reporting"
"$python" -m hm3_jax.report --runs="$folder/runs" --output="$folder/report"

echo
echo "demo: 5/5 searching"
"$python" -m hm3_jax.build_index --checkpoint="$try" --features="$folder/store" \
  --output="$folder/index"
query="This portrait museum has four rooms of baroque art. In the first room, a golden
angel lies beside a violin. The second room shows a harbour in fresco."
echo "$query" >"$folder/query.txt"
"$python" -m hm3_jax.search --index="$folder/index" --query_file="$folder/query.txt" \
  --top_k=5
echo
echo "demo: tables and figures: open $folder/report/report.html in a browser"
echo "demo: search as a web page: bash launch/serve.sh $folder/index"
