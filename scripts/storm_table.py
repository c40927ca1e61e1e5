#!/usr/bin/env python3
"""Kills a node of a cluster that has thousands of clients, counts how they come back at the other one, and simulates a hundred thousand
with the costs that were measured. Writes the tables of docs/RELIABILITY.md.

Needs target/release/offhook, openssl, nats-server (scripts/setup.sh test) and some minutes.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import pages  # noqa: E402

APPLICATION = "a32e5a8d-f7d8-411c-9645-9038e8dd051d:ax8hTTQJF0OPXL32r1LHMA=="
BEGIN, END = "<!-- begin: scripts/storm_table.py -->", "<!-- end storm -->"
LIMITS = """\
[limits]
connections_per_address = 100000
attempts_per_address = { interval_seconds = 0.0001, burst = 100000 }
registrations_per_address = { interval_seconds = 0.0001, burst = 100000 }
"""
MEASURED = """\
| | clients of the node that was killed | back at the other | after, s: p50, p99, most | CPU of the other node for each, µs |
|---|---|---|---|---|
"""
SIMULATED = """\
| nodes left, processors of each | certificate | tickets | back after, s: p50, p99, all | most that waited at a node | sent away | tries of the unluckiest |
|---|---|---|---|---|---|---|
"""


def certificate(folder):
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )
    return chain, key


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cpu(process):
    """Seconds of processor time so far."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connected(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    return int(re.search(r'^offhook_sessions\{state="connected"\} (\d+)', text, re.M).group(1))


def until(wanted, seconds, what):
    end = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > end:
            sys.exit(f"storm_table.py: {what} did not come about within {seconds} s")
        time.sleep(0.2)


def storm(program, nats_server, clients, tls):
    """Half of the clients are at the node that is killed. Returns what `offhook load` says, and seconds of processor time."""
    with tempfile.TemporaryDirectory() as name:
        folder, started = pathlib.Path(name), []
        (folder / "offhook.toml").write_text(LIMITS)
        nats = free_port()
        secure = certificate(folder) if tls else None
        try:
            command = [nats_server, "-a", "127.0.0.1", "-p", str(nats), "-js", "-sd", folder / "nats"]
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            until(lambda: socket.socket().connect_ex(("127.0.0.1", nats)) == 0, 20, "a NATS server")
            nodes, urls, ports = [], [], []
            for node in ("n0", "n1"):
                ports.append(free_port())
                serve = [program, "serve", "--listen", "127.0.0.1:0", "--data", folder / "data", "--application", APPLICATION, "--json",
                         "--log", "error", "--turn", "off", "--config", folder / "offhook.toml", "--node-name", node,
                         "--cluster", f"nats://127.0.0.1:{nats}", "--metrics-listen", f"127.0.0.1:{ports[-1]}"]
                if secure:
                    serve += ["--tls-cert", secure[0], "--tls-key", secure[1]]
                nodes.append(subprocess.Popen(serve, stdout=subprocess.PIPE, text=True))
                started.append(nodes[-1])
                urls.append(json.loads(nodes[-1].stdout.readline())["url"])
            load = [program, "load", "--application", APPLICATION, "--json", "--log", "error", "--clients", str(clients), "--calls-per-second", "0",
                    "--registrations-per-second", "1000", "--seconds", "45", "--server", ",".join(urls)]
            if secure:
                load += ["--ca", secure[0]]
            crowd = subprocess.Popen(load, stdout=subprocess.PIPE, text=True)
            started.append(crowd)
            until(lambda: sum(map(connected, ports)) >= clients, 120, "a crowd")
            time.sleep(2)
            before = cpu(nodes[1])
            nodes[0].kill()
            until(lambda: connected(ports[1]) >= clients, 60, "the return of the crowd")
            spent = cpu(nodes[1]) - before
            report = json.loads(crowd.communicate()[0])
            return report, spent
        finally:
            for process in started:
                process.kill()
                process.wait()


def measured(program, nats_server, clients):
    rows, costs = "", {}
    for tls in (False, True):
        report, spent = storm(program, nats_server, clients, tls)
        back = report["reconnect"]
        costs[tls] = spent / back["back"] * 1e6
        times = ", ".join(f"{back['back_ms'][key] / 1000:.2f}" for key in ("p50", "p99", "max"))
        rows += f"| {'TLS' if tls else 'plain'} | {back['lost']} | {back['back']} | {times} | {costs[tls]:.0f} |\n"
        print(rows.splitlines()[-1], flush=True)
        if report["lost_events"] or report["repeated_events"]:
            sys.exit(f"storm_table.py: events were lost or came twice: {report}")
    return rows, costs[False]


def simulated(profile, resume):
    command = ["cargo", "test", "--profile", profile, "-p", "offhook-server", "--lib", "--", "--ignored", "--exact", "--nocapture",
               "storm::table"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OFFHOOK_RESUME_US": f"{resume:.0f}"}, stdout=subprocess.PIPE,
                          text=True, check=True)
    print(done.stdout, flush=True)
    rows = "".join(f"|{line.split('STORM |', 1)[1]}\n" for line in done.stdout.splitlines() if "STORM |" in line)
    costs = [line.split("STORM-COST ", 1)[1] for line in done.stdout.splitlines() if "STORM-COST" in line]
    return rows, costs[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=ROOT / "target/release/offhook", type=pathlib.Path)
    parser.add_argument("--nats-server", default=ROOT / ".tools/venv/bin/nats-server", type=pathlib.Path)
    parser.add_argument("--clients", default=10_000, type=int, help="half of them are at the node that is killed")
    parser.add_argument("--profile", default="release", choices=["release", "dev"])
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.clients * 2 + 1000,) * 2)
    except (ValueError, OSError):
        # `offhook load` says what it needs.
        pass
    rows, resume = measured(options.program, options.nats_server, options.clients)
    build = "" if options.profile == "release" else ", a development build"
    table, costs = simulated(options.profile, resume)
    text = (f"Measured: two nodes, one NATS server and all clients on {os.cpu_count()} processors{build}.\n\n{MEASURED}{rows}\n"
            f"Simulated: 100,000 clients that lose their node in the same instant, round trips of 100 ms. {costs}.\n\n{SIMULATED}{table}")
    if options.write:
        pages.replace(options.write, BEGIN, END, f"\n{text}")
    else:
        print(text)


main()
