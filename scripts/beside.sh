#!/usr/bin/env bash
# Calls between Offhook and Chromium beside calls between Chromium and Chromium; rewrites their table in docs/QUALITY.md. Arguments are those
# of tools/beside/run.mjs.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }

[ -x "${OFFHOOK_CHROMIUM:-/usr/bin/chromium}" ] || { say "Chromium is missing: scripts/setup.sh beside installs it"; exit 1; }
say "building (release; some minutes the first time)"
cargo build --release -p offhook-cli
say "calling; leave the machine alone meanwhile"
node tools/beside/run.mjs --offhook "${CARGO_TARGET_DIR:-target}/release/offhook" --page docs/QUALITY.md "$@"
