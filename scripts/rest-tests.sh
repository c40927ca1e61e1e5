#!/usr/bin/env bash
# Holds a running server, whose users call each other, against its own description (GET /v1/openapi.json) with schemathesis: random requests, good and bad, to every
# operation under /v1; each answer must be a described one, of the described shape, and never a server's error.
#
#   scripts/rest-tests.sh path/to/offhook
#
# OFFHOOK_REQUIRE_SCHEMATHESIS=1 makes it mandatory.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
schemathesis=${OFFHOOK_SCHEMATHESIS:-.tools/venv/bin/schemathesis}
if [ ! -x "$schemathesis" ]; then
    printf '[tests] NOT RUN: the REST interface against its description, because schemathesis is missing (scripts/setup.sh test installs it)\n' >&2
    [ "${OFFHOOK_REQUIRE_SCHEMATHESIS:-0}" = 0 ] || exit 1
    exit 0
fi

folder=$(mktemp -d)
server= people=
clean_up() {
    [ -z "$people$server" ] || kill $people $server 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

# The server makes a development application and announces its secret: with it, /v1/development answers too.
# Made-up credentials are what it sends.
printf '[limits]\nrefusals_per_address = { interval_seconds = 0.001, burst = 100000 }\n' >"$folder/config.toml"
"$program" serve --config "$folder/config.toml" --listen 127.0.0.1:0 --data "$folder/data" --json >"$folder/announced" 2>"$folder/log" &
server=$!
for _ in $(seq 100); do
    [ -s "$folder/announced" ] && break
    sleep 0.1
done
read -r url account < <(python3 - "$folder/announced" <<'END'
import json, sys
announced = json.loads(open(sys.argv[1]).readline())
application = announced["applications"][0]
print(announced["url"].replace("ws://", "http://"), application["key"] + ":" + application["secret"])
END
)

# People who are online and call each other, so that there are users, devices, calls that ring and talk, and records to be described.
"$program" load --server "${url/http/ws}" --application "$account" --clients 20 --calls-per-second 2 --talk 3s --seconds 3600 \
    >/dev/null 2>"$folder/people" &
people=$!
for _ in $(seq 100); do
    [ "$(curl --silent --fail --user "$account" "$url/v1/records" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["records"]))')" -gt 0 ] && break
    sleep 0.2
done

# `after` means something else for calls that are over, so that what a schema allows may be refused.
if ! "$schemathesis" run "$url/v1/openapi.json" --auth "$account" \
    --max-examples "${OFFHOOK_REST_EXAMPLES:-10}" --seed 1 --workers 1 --phases examples,coverage,fuzzing \
    --exclude-checks positive_data_acceptance --generation-database none --no-color >"$folder/report" 2>&1; then
    cat "$folder/report" >&2
    tail -n 50 "$folder/log" >&2
    exit 1
fi
sed -n '/^Test cases/,/^Seed/p' "$folder/report"
