#!/usr/bin/env bash
# Builds our program and installs the peers: Python packages into ${PEERS_VENV:-.venv here}, the Rust ones into rust/target.
# Needs cargo, python3 (3.11 or later), gcc, g++ and binutils. What cannot be had is left out, with a message.
set -uo pipefail
cd "$(dirname "$0")"
venv=${PEERS_VENV:-$PWD/.venv}

left_out() { echo "left out: $*" >&2; }

cargo build --release --manifest-path ../../Cargo.toml -p bespoke-cli || exit 1

python3 -m venv "$venv" || exit 1
install() { "$venv/bin/pip" install --quiet --constraint requirements.txt "$@"; }
install numpy || exit 1
install jax jaxlib || left_out JAX
install onnx onnxruntime || left_out ONNX Runtime
# Torch's wheel for Linux links against gigabytes of CUDA packages that CPU code never calls: leave them out, and give the
# loader stand-ins.
install filelock fsspec jinja2 mpmath networkx setuptools sympy typing_extensions && install --no-deps torch &&
    "$venv/bin/python" torch_cpu_stubs.py && "$venv/bin/python" -c 'import torch' || left_out PyTorch

# One package at a time, so that none gets a feature that only another asked for.
export RUSTFLAGS="-C target-cpu=native"
for package in gemm candle burn; do
    (cd rust && cargo build --release --locked -p peer-$package) || left_out $package
done
