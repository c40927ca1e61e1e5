#!/usr/bin/env python3
"""Measures one node under `offhook load`, plain and with TLS, and writes the table of docs/LOAD.md.

Needs target/release/offhook and openssl. Server and load share this machine: set-up times are upper bounds, processor times and memory are
the server's own.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import pages  # noqa: E402

APPLICATION = "a32e5a8d-f7d8-411c-9645-9038e8dd051d:ax8hTTQJF0OPXL32r1LHMA=="
AFTERWARDS = 90
BEGIN, END = "<!-- begin: scripts/load_table.py -->", "<!-- end -->"


def certificate(folder):
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )
    return chain, key


def memory(pid, name):
    """In MiB, from /proc; not every kernel tells everything."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":")), None)


def run(program, options, folder, tls, serve_options=()):
    serve = [program, "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", "--application", APPLICATION, "--json",
             "--log", "warn", *serve_options]
    load = [program, "load", "--application", APPLICATION, "--json", *options]
    if tls:
        chain, key = certificate(folder)
        serve += ["--tls-cert", chain, "--tls-key", key]
        load += ["--ca", chain]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(server.stdout.readline())["url"]
        before = memory(server.pid, "VmRSS")
        done = subprocess.run([*load, "--server", url, "--server-pid", str(server.pid)], stdout=subprocess.PIPE, text=True)
        if not done.stdout:
            sys.exit(f"the load did not begin (status {done.returncode}), see above")
        measured = json.loads(done.stdout)
        # Sessions wait a minute for clients that left without a word.
        time.sleep(AFTERWARDS)
        measured["memory_mib"] = (before, memory(server.pid, "VmHWM"), memory(server.pid, "VmRSS"))
        return measured
    finally:
        server.terminate()
        server.wait(timeout=60)


SPARE_FILES = 500


def room_for(clients):
    """How many of them a process may have. Raises the limit of open files where it may: beyond the hard one only root, and not everywhere."""
    files = clients + SPARE_FILES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= files:
        return clients
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        return clients
    except (ValueError, OSError):
        print(f"a process may open {hard} files here: {hard - SPARE_FILES} clients, not {clients}", file=sys.stderr)
        return hard - SPARE_FILES


def number(value, digits=1):
    return "–" if value is None else f"{value:.{digits}f}"


def table(plain, tls, options, busy):
    bare, one, other = plain["bare"], plain["server"], tls["server"]
    calls, setup = plain["calls"], plain["setup_ms"]
    rows = [
        ("memory per idle client, KiB", number(one["idle_kib_per_client"]), number(other["idle_kib_per_client"]), "14; TLS 24",
         f"{number(bare['kib_per_connection'])} (connection)"),
        (f"memory before, at most, {AFTERWARDS} s after they left, MiB", *(", ".join(number(mib) for mib in of["memory_mib"]) for of in (plain, tls)), "", ""),
        ("CPU per registration, µs", number(one["register_cpu_us"], 0), number(other["register_cpu_us"], 0), "",
         f"{number(bare['accept_cpu_us'], 0)} (connection)"),
        ("CPU per idle heartbeat, µs", number(one["heartbeat_cpu_us"]), number(other["heartbeat_cpu_us"]), "",
         f"{number(bare['echo_cpu_us'])} (echo)"),
        ("CPU per call, µs", number(one["call_cpu_us"], 0), "", "", ""),
        ("calls set up and ended", f"{calls['ended']} of {calls['attempted']}", "", "all", ""),
        ("set-up p50, p95, p99, ms", ", ".join(number(setup[key]) for key in ("p50", "p95", "p99")), "", "p99 under 100", ""),
        ("registration p50, p99, ms", ", ".join(number(plain["register_ms"][key]) for key in ("p50", "p99")),
         ", ".join(number(tls["register_ms"][key]) for key in ("p50", "p99")), "", ""),
        ("events lost, repeated", f"{plain['lost_events']}, {plain['repeated_events']}", f"{tls['lost_events']}, {tls['repeated_events']}",
         "0, 0", ""),
    ]
    lines = [
        f"{options.clients} clients, {options.calls_per_second} calls per second for {options.seconds} s; {os.cpu_count()} processors shared "
        f"with the load; load average before: {busy:.1f}.",
        "", "| | plain | TLS | wanted | bare WebSocket |", "|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if plain["errors"] or tls["errors"]:
        lines += ["", f"Errors: {json.dumps(plain['errors'])} {json.dumps(tls['errors'])}"]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=ROOT / "target/release/offhook", type=pathlib.Path)
    parser.add_argument("--clients", type=int, default=20000)
    parser.add_argument("--calls-per-second", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--idle", default="30s")
    parser.add_argument("--write", type=pathlib.Path, help="the page whose table is replaced")
    options = parser.parse_args()
    options.clients = room_for(options.clients)
    busy = os.getloadavg()[0]
    crowd = ["--clients", str(options.clients), "--idle", options.idle]
    calls = ["--calls-per-second", str(options.calls_per_second), "--seconds", str(options.seconds), "--beside-bare"]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        print("plain …", file=sys.stderr)
        plain = run(options.program, [*crowd, *calls], pathlib.Path(one), False)
        print(json.dumps(plain), file=sys.stderr)
        print("TLS …", file=sys.stderr)
        tls = run(options.program, [*crowd, "--seconds", "1"], pathlib.Path(other), True)
        print(json.dumps(tls), file=sys.stderr)
    text = table(plain, tls, options, busy)
    print(text)
    if options.write:
        pages.replace(options.write, BEGIN, END, f"\n{text}\n")


if __name__ == "__main__":
    main()
