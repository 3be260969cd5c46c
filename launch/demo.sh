#!/usr/bin/env bash
# Trains and tests late interaction and HM3 on a small generated museum set, beside
# search without training; reports on it and answers queries: a few minutes on a CPU.
#
#   bash launch/demo.sh [FOLDER]
#
# Everything goes into FOLDER (build/demo if not given). The results of an earlier demo
# there are replaced.
set -euo pipefail
case "${1:-}" in
  "") folder=build/demo ;;
  /*) folder="$1" ;;
  *) folder="$PWD/$1" ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

strategy=late_interaction_image_video
hm3=hier_by_room_rnn_meanPoolProc_video
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

echo "demo: 2/5 training late interaction, and HM3 to compare it with"
"$python" -m hm3_jax.train --flagfile=configs/experiments/late_interaction.cfg \
  --features="$folder/store" --workdir="$folder/runs" --seed=1 \
  --config_files="configs/strategies/late_interaction/$strategy.json"
"$python" -m hm3_jax.train --features="$folder/store" --workdir="$folder/runs" \
  --config_files="configs/strategies/pov_and_video/$hm3.json" \
  --experiment_name=HM3 --seed=1 --number_of_tries=1 --epochs=10 --batch_size=64 \
  --lr=0.0005 --scheduler_step_size=5 --loss_margin=0.25

echo "demo: 3/5 testing what was trained, and search without training"
try="$(echo "$folder/runs/late_interaction/$strategy"/try_*)"
"$python" -m hm3_jax.evaluate --features="$folder/store" --split=test \
  --checkpoint="$try,zero-shot,$(echo "$folder/runs/HM3/$hm3"/try_*)" \
  --query_sentences=1,2,4,8,all --output="$folder/test" >"$folder/test.log"

"$python" - "$folder/test" <<'PYTHON'
"""Prints how often queries of each length find their museum among the first 10."""
import json
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
models = {}
for path in folder.glob("*/by_length.json"):
    found = json.loads(path.read_text())
    name = next(n for n in ("late_interaction", "zero-shot", "HM3") if n in found["model"])
    models[name] = found["lengths"]
with np.load(next(folder.glob("*/embeddings.npz"))) as arrays:
    museums = len(arrays["ids"])
lengths = list(models["zero-shot"])
print(f"\nR@10 of {museums} test museums, by sentences of the query (chance "
      f"{1000 / museums:.1f})")
print(f"{'':24s}" + "".join(f"{length:>8s}" for length in lengths))
for name in ("late_interaction", "zero-shot", "HM3"):
    shown = {"late_interaction": "late interaction", "zero-shot": "without training"}
    row = "".join(f"{models[name][length]['t2s_R@10']:8.1f}" for length in lengths)
    print(f"{shown.get(name, name):24s}{row}")
PYTHON

echo
echo "demo: 4/5 reporting"
"$python" -m hm3_jax.report --runs="$folder/runs" --output="$folder/report" \
  --evaluations="$(echo "$folder"/test/*zero-shot)"

echo
echo "demo: 5/5 searching"
"$python" -m hm3_jax.build_index --checkpoint="$try" --features="$folder/store" \
  --output="$folder/index"
for query in "a golden angel" "A harbour at night. Beside it hangs a violin."; do
  "$python" -m hm3_jax.search --index="$folder/index" --query="$query" --top_k=3
done
echo
echo "demo: tables and figures: open $folder/report/report.html in a browser"
echo "demo: search as a web page: bash launch/serve.sh $folder/index"
