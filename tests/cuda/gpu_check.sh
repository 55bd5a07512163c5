#!/usr/bin/env bash
# On a machine with a card: compares it with the processor, and both with PyTorch on that card, and prints one table.
#
# usage: tests/cuda/gpu_check.sh [--precision tf32|bf16] [CARD [SCALE:BATCH...]], where CARD is `cuda:0` unless given.
# Needs cargo, python3, the NVIDIA driver, and NVRTC and cuBLAS of CUDA 12 or 13 where the loader finds them. The
# precision is for PyTorch, too; the tests that run first want a card of Ampere or later. PYTHON names a Python
# with PyTorch for that card; without one its columns stay empty. STEPS is the number of steps that are timed, and
# PYTORCH_DEVICE=cpu with MODES="eager" tries the script where the loader finds the stand-ins of build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
options=()
if [ "${1:-}" = --precision ]; then
    options=("$1" "$2")
    shift 2
fi
card=${1:-cuda:0}
cases=("${@:2}")
[ ${#cases[@]} -gt 0 ] || cases=(1@96:32 2@768:32 2@768:128)
python=${PYTHON:-python3}
pytorch_device=${PYTORCH_DEVICE:-$card}
cellc=${CARGO_TARGET_DIR:-target}/release/cellc
reports=$(mktemp)
trap 'rm -f "$reports"' EXIT

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
cargo build --locked --release --quiet
# Ten steps equal the CPU's, in bf16 within its digits, and the same steps give the same bits.
cargo test --locked --release --test cuda -- --ignored --skip with_stand_ins --nocapture

pytorch() { "$python" tests/cuda/pytorch_on_card.py --device "$pytorch_device" "${options[@]}" "$@"; }
read -ra modes <<<"${MODES:-eager channels_last compile cuda_graphs}"
pytorch --check || {
    echo "PyTorch is left out of the table: see above"
    modes=()
}

for case in "${cases[@]}"; do
    common=(--scale "${case%:*}" --batch "${case#*:}" ${STEPS:+--steps "$STEPS"})
    for device in cpu "$card"; do
        for what in train infer; do
            echo "cellc bench $what ${common[*]} --device $device" >&2
            "$cellc" bench "$what" --cell nasnet_a.cell --net cifar "${common[@]}" --device "$device" "${options[@]}" \
                --json >>"$reports"
        done
    done
    for mode in "${modes[@]}"; do
        echo "PyTorch $mode ${common[*]}" >&2
        pytorch --mode "$mode" "${common[@]}" >>"$reports" ||
            printf '{"program": "pytorch", "mode": "%s", "scale": "%s", "batch": %s, "failed": "exit code %s"}\n' \
                "$mode" "${case%:*}" "${case#*:}" $? >>"$reports"
    done
done
echo
"$python" tests/cuda/compared.py "$reports"
