#!/usr/bin/env bash
# Calls between two network namespaces with a router and the server between them:
#
#   alice 198.51.100.2 ── router ── bob 192.0.2.2
#                           │
#                     203.0.113.2 server and relay
#
#   direct     everything passes
#   relayed    the router passes nothing between alice and bob: TURN over UDP
#   tcp        the router passes no UDP at all: TURN over TCP
#   moved-*    the same three, and after some seconds one side has another address in another net
#
# Prints the time from the answer to media that flows, as both sides' reports have it, and for those that move the longest silence that
# either side heard: 2 s are too many. Needs root and `ip netns`; without them it says so.
#   scripts/nat-tests.sh [PROGRAM]     PROGRAM defaults to a debug build of offhook
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    printf '[nat] NOT RUN: calls through NATs and firewalls, because %s\n' "$1" >&2
    [ "${OFFHOOK_REQUIRE_NETNS:-0}" = 0 ] || exit 1
    exit 0
}

[ "$(id -u)" = 0 ] || skip 'they need root'
command -v ip >/dev/null || skip 'ip (iproute2) is missing'
command -v python3 >/dev/null || skip 'python3 is missing'

prefix="oh$$"
work=$(mktemp -d)
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for name in alice bob server router; do ip netns del "$prefix-$name" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

ip netns add "$prefix-router" 2>/dev/null || skip 'network namespaces cannot be made here'

program=${1:-}
if [ -z "$program" ]; then
    cargo build --quiet -p offhook-cli
    program=target/debug/offhook
fi

in_net() { local name=$1; shift; ip netns exec "$prefix-$name" "$@"; }

# NAME NET: a namespace with address NET.2 behind the router's NET.1.
attach() {
    local name=$1 net=$2
    ip netns add "$prefix-$name"
    ip -n "$prefix-$name" link add eth0 type veth peer name "to-$name" netns "$prefix-router"
    ip -n "$prefix-$name" addr add "$net.2/24" dev eth0
    ip -n "$prefix-$name" link set eth0 up
    ip -n "$prefix-$name" link set lo up
    ip -n "$prefix-router" addr add "$net.1/24" dev "to-$name"
    ip -n "$prefix-router" link set "to-$name" up
    ip -n "$prefix-$name" route add default via "$net.1"
}

rules() {
    ip -n "$prefix-router" rule flush pref 10 2>/dev/null || true
    ip -n "$prefix-router" rule flush pref 11 2>/dev/null || true
    case $1 in
        direct) ;;
        relayed)
            ip -n "$prefix-router" rule add pref 10 from 198.51.100.0/23 to 192.0.2.0/23 blackhole
            ip -n "$prefix-router" rule add pref 11 from 192.0.2.0/23 to 198.51.100.0/23 blackhole
            ;;
        tcp) ip -n "$prefix-router" rule add pref 10 ipproto udp blackhole ;;
    esac
}

# NAME FROM TO: gives it another address, in the other net on the same line, as a machine that goes from one network to the next.
move() {
    local name=$1 from=$2 to=$3
    ip -n "$prefix-$name" addr del "$from.2/24" dev eth0
    ip -n "$prefix-$name" addr add "$to.2/24" dev eth0
    ip -n "$prefix-$name" route add default via "$to.1"
}

attach alice 198.51.100
attach bob 192.0.2
attach server 203.0.113
ip -n "$prefix-router" addr add 198.51.101.1/24 dev to-alice
ip -n "$prefix-router" addr add 192.0.3.1/24 dev to-bob
ip -n "$prefix-router" link set lo up
in_net router sysctl -q -w net.ipv4.ip_forward=1 2>/dev/null || in_net router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

key=a32e5a8d-f7d8-411c-9645-9038e8dd051d
secret=ax8hTTQJF0OPXL32r1LHMA==
python3 - "$work/tone.wav" <<'PY'
import math, struct, sys, wave
with wave.open(sys.argv[1], 'wb') as out:
    out.setnchannels(1), out.setsampwidth(2), out.setframerate(48000)
    out.writeframes(b''.join(struct.pack('<h', int(8000 * math.sin(i / 48000 * 2765))) for i in range(48000 * 20)))
PY
# Not through the function: its shell would be ended, and the program left.
ip netns exec "$prefix-server" "$program" serve --listen 203.0.113.2:7070 --turn 203.0.113.2:3478 --application "$key:$secret" --json \
    >"$work/serve.json" 2>"$work/serve.log" &
pids+=($!)
for _ in $(seq 200); do [ -s "$work/serve.json" ] && break; sleep 0.1; done
[ -s "$work/serve.json" ] || { cat "$work/serve.log" >&2; exit 1; }
account=(--server ws://203.0.113.2:7070 --application-key "$key" --application-secret "$secret" --input "$work/tone.wav" --json)

# NAME WANTED [WHO FROM TO]: one call; WANTED is how the path has to be, and WHO moves from net FROM to net TO during it.
call() {
    local name=$1 wanted=$2 seconds=4
    shift 2
    [ $# = 0 ] || seconds=9
    rules "$wanted"
    ip netns exec "$prefix-bob" "$program" answer "${account[@]}" --auto --user bob --output "$work/bob-$name.wav" >"$work/bob-$name.json" 2>"$work/bob-$name.log" &
    local answer=$!
    pids+=("$answer")
    ip netns exec "$prefix-alice" timeout 90 "$program" call bob "${account[@]}" --user alice --output "$work/alice-$name.wav" --duration "$seconds" \
        >"$work/alice-$name.json" 2>"$work/alice-$name.log" &
    local caller=$!
    pids+=("$caller")
    if [ $# -gt 0 ]; then
        sleep 5
        move "$@"
    fi
    if ! wait "$caller"; then
        printf '[nat] %s: the call FAILED\n' "$name" >&2
        tail -n 20 "$work/alice-$name.json" "$work/alice-$name.log" "$work/bob-$name.log" >&2
        exit 1
    fi
    for _ in $(seq 50); do grep -q '^{' "$work/bob-$name.json" && break; sleep 0.1; done
    kill "$answer" 2>/dev/null || true
    wait "$answer" 2>/dev/null || true
    [ $# = 0 ] || move "$1" "$3" "$2"
    python3 - "$name" "$wanted" "$work" <<'PY'
import json, math, os, struct, sys, wave
name, wanted, work = sys.argv[1:]
def report(who):
    lines = [line for line in open(f'{work}/{who}-{name}.json') if line.startswith('{')]
    return json.loads(lines[-1]) if lines else None
TICK = 0.01
def loud(who):
    # Of each hundredth of a second, whether something is heard.
    with wave.open(f'{work}/{who}-{name}.wav') as sound:
        size = int(sound.getframerate() * TICK) * sound.getnchannels()
        data = sound.readframes(sound.getnframes())
    samples = struct.unpack(f'<{len(data) // 2}h', data)
    return [max(map(abs, samples[at:at + size])) > 500 for at in range(0, len(samples), size)]
def longest_silence(who):
    longest = silent = 0
    heard = loud(who)
    last = max((at for at, is_loud in enumerate(heard) if is_loud), default=0)
    for is_loud in heard[heard.index(True) if True in heard else 0:last + 1]:
        silent = 0 if is_loud else silent + 1
        longest = max(longest, silent)
    return longest * TICK
alice = report('alice')
reached, ice = alice['reached_ms'], alice['ice']
bob = report('bob') or {'ice': {}}
kinds = {ice['local_kind'], ice['remote_kind']}
relay = {ice.get('relay'), bob['ice'].get('relay')} - {None}
problem = None
if wanted == 'direct' and 'relay' in kinds: problem = 'the call was relayed'
if wanted != 'direct' and 'relay' not in kinds: problem = 'no side of the call used a relay'
# No UDP passes: whoever has a relayed address has it over TCP.
if wanted == 'tcp' and (kinds != {'relay'} or relay - {'tcp'}): problem = f'the path was {kinds} over {relay}'
moves = name.startswith('moved')
seconds, at_bob = (sum(loud(who)) * TICK for who in ('alice', 'bob'))
if min(seconds, at_bob) < (6 if moves else 1.5): problem = f'alice heard {seconds:.1f} s of sound, bob {at_bob:.1f} s'
silences = [longest_silence(who) for who in ('alice', 'bob')] if moves else []
if any(silence >= 2 for silence in silences): problem = 'that is too long a silence'
print(f"[nat] {name:13} {ice['local_kind']:5} -> {ice['remote_kind']:5} "
      f"answer to media {reached['established'] - reached['answered']:7.1f} ms (setup {alice['setup_ms'] or math.nan:.1f} ms), "
      f"heard {seconds:.1f} s, lost {alice['packets_lost']}"
      + (f", longest silence {silences[0]:.2f} s at alice, {silences[1]:.2f} s at bob" if moves else '')
      + (f', FAILED: {problem}' if problem else ''))
sys.exit(1 if problem else 0)
PY
}

call direct direct
call relayed relayed
call tcp tcp
call moved-direct direct alice 198.51.100 198.51.101
call moved-callee direct bob 192.0.2 192.0.3
call moved-relayed relayed alice 198.51.100 198.51.101
call moved-tcp tcp alice 198.51.100 198.51.101
