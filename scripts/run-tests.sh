#!/usr/bin/env bash
# All unit and behaviour tests: with cargo-nextest where it is installed, else with cargo's own runner.
set -euo pipefail
cd "$(dirname "$0")/.."
export OFFHOOK_PYTHON="$PWD/.tools/venv/bin/python"
if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace --no-fail-fast --status-level slow --final-status-level fail "$@"
else
    cargo test --workspace --lib --bins --tests --examples --no-fail-fast "$@"
fi
