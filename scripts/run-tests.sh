#!/usr/bin/env bash
# All unit and behaviour tests: with cargo-nextest where it is installed, else with cargo's own runner. Then those of the browser: the
# signaling of offhook.js needs node alone, calls need Chromium too. OFFHOOK_REQUIRE_BROWSER=1 makes them mandatory.
# Between them, the REST interface is held against its description (scripts/rest-tests.sh), the Debian package is installed on machines that
# systemd boots, where docs/OPERATING.md is followed (scripts/package-tests.sh), and calls go through the faults of a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
export OFFHOOK_PYTHON="$PWD/.tools/venv/bin/python"

# not_run WHAT WHY [WHICH]: fails where OFFHOOK_REQUIRE_WHICH says that nothing of it may be left out.
not_run() {
    local required=OFFHOOK_REQUIRE_${3:-BROWSER}
    printf '[tests] NOT RUN: %s, because %s (scripts/setup.sh test installs it)\n' "$1" "$2" >&2
    [ "${!required:-0}" = 0 ] || exit 1
}

if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace --no-fail-fast --status-level slow --final-status-level fail "$@"
else
    cargo test --workspace --lib --bins --tests --examples --no-fail-fast "$@"
fi

# The command as the tests built it: alone it would be built again, with other features of the same libraries.
program=${CARGO_TARGET_DIR:-target}/debug/offhook
scripts/nat-tests.sh "$program"
scripts/rest-tests.sh "$program"
scripts/package-tests.sh "$program"
if [ -x .tools/venv/bin/nats-server ] && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    scripts/reliability_table.py --program "$program" --profile dev --calls 30 --faults node,leader,restart
else
    not_run 'calls through the faults of a cluster' 'nats-server or PostgreSQL is missing' NATS
fi

skip_browser() {
    not_run "$@"
    exit 0
}

command -v node >/dev/null || skip_browser 'all browser tests' 'node is missing'
node --test tests/browser/golden.mjs tests/browser/client*.mjs
if [ -d .tools/browser/node_modules/typescript ]; then
    node --test tests/browser/types.mjs
else
    not_run 'programs in TypeScript' 'typescript is missing'
fi
chromium=${OFFHOOK_CHROMIUM:-/usr/bin/chromium}
[ -x "$chromium" ] || skip_browser 'calls in browsers' "$chromium is missing"
[ -d .tools/browser/node_modules/playwright-core ] || skip_browser 'calls in browsers' 'playwright-core is missing'
suites=(calls page operator push network relay published applications styles hostile)
firefox=${OFFHOOK_FIREFOX:-/usr/bin/firefox-esr}
if [ -x "$firefox" ] && [ -d .tools/browser/node_modules/puppeteer-core ] && command -v pulseaudio >/dev/null; then
    suites+=(firefox)
else
    not_run 'calls of Firefox' "$firefox, puppeteer-core or pulseaudio is missing"
fi
# One after the other: several browsers at once are more than a small machine carries.
for suite in "${suites[@]}"; do
    node --test "tests/browser/$suite.mjs" && continue
    printf '[tests] browser suite %s FAILED once; a busy machine starves a browser, so it runs again\n' "$suite" >&2
    node --test "tests/browser/$suite.mjs"
done
