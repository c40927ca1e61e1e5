#!/usr/bin/env python3
"""Measures one node under a crowd that is larger than this system lets a process open files, and writes a table of docs/LOAD.md.

Runs server and load in gVisor (Debian: runsc), a kernel that is a process: its root has the limits it likes, and sees this machine's files.
A system call there takes several times as long, so that processor time is for `make load` to tell. What the server writes stays in memory.
Needs target/release/offhook, openssl, and root: memory of that kernel comes in large pages meanwhile, where this system allows it.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

import load_table

BEGIN = "<!-- begin: scripts/crowd.py -->"
# As scripts/setup.sh puts it where the system's own has not what is needed.
OWN_KERNEL = load_table.ROOT / ".tools/gvisor/runsc"
LARGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


@contextlib.contextmanager
def large_pages():
    """For shared memory that asks for them, until it is over."""
    if not LARGE_PAGES.exists():
        yield
        return
    usual = LARGE_PAGES.read_text().split("[")[1].split("]")[0]
    if usual != "never":
        yield
        return
    try:
        LARGE_PAGES.write_text("advise")
    except OSError as error:
        sys.exit(f"{LARGE_PAGES} is {usual} and has to be advise: {error.strerror}; run this as root")
    try:
        yield
    finally:
        LARGE_PAGES.write_text(usual)


def outside(options):
    kernel = OWN_KERNEL if OWN_KERNEL.exists() else shutil.which("runsc")
    if kernel is None:
        sys.exit("runsc not found: install the package runsc (of July 2023 or later), or run `make crowd`")
    within = [sys.executable, pathlib.Path(__file__).resolve(), *sys.argv[1:], "--inside"]
    with large_pages():
        done = subprocess.run(
            [kernel, "--platform=systrap", "--network=none", "do", "--quiet", *within],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=os.environ | {"GOGC": "400"},
        )
    if done.returncode != 0:
        sys.exit(f"the crowd's kernel ended with status {done.returncode}, see above")
    text = table(json.loads(done.stdout), options)
    print(text)
    if options.write:
        load_table.pages.replace(options.write, BEGIN, load_table.END, f"\n{text}\n")


def inside(options):
    """In the crowd's kernel; answers on stdout."""
    files = options.clients + load_table.SPARE_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    # What is left of a crowd is for `make load` to tell.
    load_table.AFTERWARDS = 0
    crowd = ["--clients", str(options.clients), "--registrations-per-second", str(options.registrations_per_second)]
    calls = ["--idle", options.idle, "--calls-per-second", str(options.calls_per_second), "--seconds", str(options.seconds)]
    measured = {}
    for name, load in ("plain", calls), ("TLS", ["--seconds", "1"]):
        print(f"{name} …", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = load_table.run(options.program, [*crowd, *load], pathlib.Path(folder), name == "TLS")
        print(json.dumps(measured[name]), file=sys.stderr)
    json.dump(measured, sys.stdout)


def table(measured, options):
    both = measured["plain"], measured["TLS"]
    calls, setup = measured["plain"]["calls"], measured["plain"]["setup_ms"]
    rows = [
        ("registered", *(str(of["registered"]) for of in both), "all"),
        ("memory per idle client, KiB", *(load_table.number(of["server"]["idle_kib_per_client"]) for of in both), "14; TLS 24"),
        ("calls set up and ended", f"{calls['ended']} of {calls['attempted']}", "", "all"),
        ("set-up p50, p95, p99, ms", ", ".join(load_table.number(setup[key]) for key in ("p50", "p95", "p99")), "", "p99 under 100"),
        ("events lost, repeated", *(f"{of['lost_events']}, {of['repeated_events']}" for of in both), "0, 0"),
    ]
    lines = [
        f"{options.clients} clients, {options.calls_per_second} calls per second for {options.seconds} s, in gVisor; {os.cpu_count()} processors "
        "shared with the load.",
        "", "| | plain | TLS | wanted |", "|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if any(of["errors"] for of in both):
        lines += ["", "Errors: " + " ".join(json.dumps(of["errors"]) for of in both)]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=load_table.ROOT / "target/release/offhook", type=pathlib.Path)
    parser.add_argument("--clients", type=int, default=20000)
    parser.add_argument("--registrations-per-second", type=int, default=500)
    parser.add_argument("--idle", default="30s")
    parser.add_argument("--calls-per-second", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--write", type=pathlib.Path, help="the page whose table is replaced")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.program = options.program.resolve()
    (inside if options.inside else outside)(options)


if __name__ == "__main__":
    main()
