#!/usr/bin/env bash
# Licences, sources, bans and advisories: cargo-deny by deny.toml, and cargo-audit. Installs both into .tools on first use.
#
# Advisories come from the RustSec database, over the network. Where it cannot be had this says so and goes on, unless
# OFFHOOK_REQUIRE_ADVISORIES=1. An advisory that is found fails.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tool on the path, or ours.
tool() {
    if command -v "$1" >/dev/null; then
        echo "$1"
        return
    fi
    if [ ! -x ".tools/bin/$1" ]; then
        echo "[lint] building $1 into .tools (once, some minutes)" >&2
        cargo install --quiet --locked --root .tools "$1" >&2
    fi
    echo ".tools/bin/$1"
}

no_database() {
    echo "[lint] NOT CHECKED: advisories, because the RustSec database cannot be fetched (it needs the network):" >&2
    sed 's/^/[lint]     /' "$log" >&2
    [ "${OFFHOOK_REQUIRE_ADVISORIES:-0}" = 0 ] || exit 1
    exit 0
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
deny=$(tool cargo-deny)
audit=$(tool cargo-audit)
for manifest in Cargo.toml fuzz/Cargo.toml; do
    echo "[lint] $manifest: licences, sources, bans" >&2
    "$deny" --log-level error --manifest-path "$manifest" --config deny.toml check bans licenses sources
done
timeout 120 "$deny" fetch db >"$log" 2>&1 || no_database
"$deny" check advisories
"$audit" audit --file Cargo.lock
"$audit" audit --file fuzz/Cargo.lock
