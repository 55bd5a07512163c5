#!/usr/bin/env bash
# On a machine with a card of Ampere or later: compares it with the processor and prints one table.
#
# usage: tests/cuda/gpu_check.sh [CARD], where CARD is `cuda:0` unless given. Needs cargo, python3, the NVIDIA driver,
# and NVRTC and cuBLAS of CUDA 12 or 13 where the loader finds them.
set -euo pipefail
cd "$(dirname "$0")/../.."
card=${1:-cuda:0}
cellc=${CARGO_TARGET_DIR:-target}/release/cellc

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
cargo build --locked --release --quiet
# Ten steps equal the CPU's, in bf16 within its digits, and the same steps give the same bits.
cargo test --locked --release --test cuda -- --ignored --skip with_stand_ins --nocapture

measure() {
    "$cellc" bench "$1" --cell "$2" --net cifar --scale "$3" --batch "$4" --device "$5" --precision "$6" --json
}
printf '\n%-12s %-7s %5s %6s %9s %12s %12s %8s\n' cell scale batch what precision "cpu ms" "$card ms" times
while read -r cell scale batch; do
    for what in train infer; do
        on_cpu=$(measure $what "$cell" "$scale" "$batch" cpu f32)
        for precision in f32 tf32 bf16; do
            on_card=$(measure $what "$cell" "$scale" "$batch" "$card" $precision)
            python3 - "$cell" "$scale" "$batch" "$what" "$precision" "$on_cpu" "$on_card" <<'PYTHON'
import json, sys
cell, scale, batch, what, precision, *reports = sys.argv[1:]
key = "train_step_ms" if what == "train" else "infer_ms"
cpu, card = (json.loads(report)[key] for report in reports)
print(f"{cell:12} {scale:7} {batch:>5} {what:>6} {precision:>9} {cpu:12.2f} {card:12.2f} {cpu / card:8.2f}")
PYTHON
        done
    done
done <<'CASES'
nasnet_a.cell 1@96 32
nasnet_a.cell 2@768 32
nasnet_a.cell 2@768 128
CASES
