#!/usr/bin/env bash
# Runs the workloads in bespoke and its peers, on one thread and on all, and prints tables; the last is of ratios.
# Usage: run.sh [GROUP...]; the groups are train infer kernels rust compile, and all is the default (about an hour; compile,
# torch.compile's training steps, takes most of it). Results of a group replace its last ones in results/.
# THREADS="1 2" are other numbers of threads. PEER_QUICK=1 times next to nothing, to try the scripts.
set -uo pipefail
cd "$(dirname "$0")"
python=${PEERS_VENV:-$PWD/.venv}/bin/python
bespoke=${CARGO_TARGET_DIR:-../../target}/release/bespoke
peers=${CARGO_TARGET_DIR:-rust/target}/release
quick=${PEER_QUICK:+--steps 2}
cores=$(nproc)
steps="W1-b1 W1-b16 W1-b128 W2 W3 W4 W5 W6 W7-autodiff W7-closed W8 W14 W15 W16 W17"
images="W2 W3 W14 W15 W16"
mkdir -p results

has() { # has MODULE: can Python import it?
    "$python" -c "import $1" 2>/dev/null
}
has torch && torch="torch-eager torch-compile" || echo "left out: PyTorch" >&2
has jax && jax=jax-jit || echo "left out: JAX" >&2
has onnxruntime && onnx=onnxruntime || echo "left out: ONNX Runtime" >&2
torch=${torch:-} jax=${jax:-} onnx=${onnx:-}

run() { # run COMMAND...: its lines go to the group's file
    timeout 900 $pin "$@" >>"$file" || echo "failed: PEER_THREADS=$PEER_THREADS $*" >&2
}
ours() { run "$bespoke" bench "$1" --json --threads "$PEER_THREADS" $quick; }

for threads in ${THREADS:-1 $([ "$cores" = 1 ] || echo "$cores")}; do
    export PEER_THREADS=$threads RAYON_NUM_THREADS=$threads MATMUL_NUM_THREADS=$threads
    pin="taskset -c $((cores - threads))-$((cores - 1))"
    for group in ${*:-train infer kernels rust compile}; do
        file=results/$group-$threads.jsonl
        rm -f "$file"
        case $group in
        train) for w in $steps; do
            ours $w
            [ -z "$torch" ] || run "$python" train.py torch-eager $w
            [[ -z "$torch" || " $images " != *" $w "* ]] || run "$python" train.py torch-eager-nhwc $w
            [ -z "$jax" ] || run "$python" train.py $jax $w
        done ;;
        infer)
            ours W9
            for p in $torch ${torch:+torch-eager-nhwc} $jax $onnx; do run "$python" infer.py $p; done ;;
        kernels)
            ours W10 && ours W11
            for p in numpy $torch $jax; do run "$python" kernels.py $p; done ;;
        rust) for p in gemm candle burn; do
            if [ -x "$peers/peer-$p" ]; then run "$peers/peer-$p"; else echo "left out: $p" >&2; fi
        done ;;
        compile) for w in $steps; do [ -z "$torch" ] || run "$python" train.py torch-compile $w; done ;;
        *) echo "no group $group" >&2; exit 2 ;;
        esac
    done
done
python3 table.py results/*.jsonl | tee results/tables.md
