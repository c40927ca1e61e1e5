#!/usr/bin/env bash
# Licences, advisories and duplicate crates, by deny.toml. Installs cargo-deny into .tools on first use.
set -euo pipefail
cd "$(dirname "$0")/.."
deny=.tools/bin/cargo-deny
command -v cargo-deny >/dev/null && deny=cargo-deny
if ! command -v "$deny" >/dev/null; then
    echo "[lint] building cargo-deny into .tools (once, some minutes)" >&2
    cargo install --quiet --locked --root .tools cargo-deny
fi
"$deny" check bans licenses sources
"$deny" check advisories || echo "[lint] advisories could not be checked or have findings, see above" >&2
