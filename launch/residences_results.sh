#!/usr/bin/env bash
# Trains what docs/results.md compares with the published code on real data.
#
#   bash launch/residences_results.sh STORE WORKDIR [SEED ...]
#
# STORE holds the residences features; WORKDIR/seed_SEED gets the experiments STL and
# theme, three tries each, for every seed (424242 if not given).
set -euo pipefail
store="$1" workdir="$2"
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"
strategies=configs/strategies/pov_and_video

for seed in "${@:-424242}"; do
  run() {
    "$python" -m hm3_jax.train --features="$store" --workdir="$workdir/seed_$seed" \
      --batch_size=64 --epochs=25 --lr=0.0005 --scheduler_step_size=5 \
      --scheduler_gamma=0.75 --number_of_tries=3 --save_strategy=last \
      --seed="$seed" --loss_margin=0.25 "$@"
  }
  run --experiment_name=STL --config_files_dir="$strategies"
  run --experiment_name=theme --use_categories_in_loss \
    --loss_within_category_margin=0.15 --second_loss_component_weight=0.05 \
    --config_files="$strategies/hier_by_room_rnn_meanPoolProc_video.json,$strategies/rnn_meanPoolProc_video.json"
done
