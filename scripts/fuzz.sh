#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS each (default 600), starting from the committed corpora.
# The nightly tool chain is needed for the sanitizer; findings land in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
fuzz=.tools/bin/cargo-fuzz
command -v cargo-fuzz >/dev/null && fuzz=cargo-fuzz
if ! command -v "$fuzz" >/dev/null; then
    echo "[fuzz] building cargo-fuzz into .tools (once, some minutes)" >&2
    cargo install --quiet --locked --root .tools cargo-fuzz
fi
PATH="$PWD/.tools/bin:$PATH"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    echo "[fuzz] $target for $seconds s" >&2
    mkdir -p "fuzz/grown/$target"
    log=fuzz/grown/$target.log
    status=0
    cargo +nightly fuzz run "$target" "fuzz/grown/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 >"$log" 2>&1 || status=$?
    grep -E 'stat::number_of_executed_units|SUMMARY|panicked|ERROR|Done' "$log" || true
    if compgen -G "fuzz/artifacts/$target/*" >/dev/null; then
        echo "[fuzz] $target: finding in fuzz/artifacts/$target" >&2
        exit 1
    fi
    if [ "$status" -ne 0 ]; then
        echo "[fuzz] $target did not run:" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
done
