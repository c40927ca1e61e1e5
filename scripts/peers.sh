#!/usr/bin/env bash
# Scores Offhook beside other receivers and rewrites docs/QUALITY.md. Arguments are those of tools/peers/run.py.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*" >&2; }

# The path of what cargo built, from its messages.
executable() {
    cargo build --release --message-format=json-render-diagnostics "$@" |
        sed -n 's/.*"reason":"compiler-artifact".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

say "building (release; some minutes the first time)"
offhook=$(executable -p offhook-cli --bin offhook)
peers=$(executable -p offhook --bench peers)
traces=$(executable -p offhook-sim --example traces)
say "testing the scorer on sound whose truth is known"
(cd tools/score && ../../.tools/score/bin/python test_score.py --quiet)
say "scoring"
.tools/score/bin/python tools/peers/run.py --offhook "$offhook" --peers "$peers" --trace-maker "$traces" "$@"
