#!/usr/bin/env python3
"""Measures the memory of one node under an idle crowd that is larger than this system lets a process open files, and writes the table of
docs/LOAD.md.

Runs server and load in user-mode Linux (Debian: user-mode-linux), a kernel that is a process: its root has the limits it likes, and sees this
machine's files. It has one processor and is about ten times slower, so that nothing else is measured there; clients come slowly and their
heartbeats are 45 s apart. Each page of memory there is a mapping of a process here, so that vm.max_map_count is raised meanwhile. Needs
target/release/offhook, openssl and root.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback

import load_table

BEGIN = "<!-- begin: scripts/crowd.py -->"
KERNEL = "linux.uml"
# In the crowd's kernel: what a client, a server and the load have open, and what they take (MiB, measured from outside).
FILES = 2 * load_table.SPARE_FILES
MEMORY_MIB = 6144
CALM = "[sessions]\nheartbeat_seconds = 45\n"
# The only folder that is the crowd's own; every other is this machine's.
RUN = "/run"
MAPPINGS = pathlib.Path("/proc/sys/vm/max_map_count")
PAGES_PER_MIB = 256
POWER_OFF = 0x4321FEDC


@contextlib.contextmanager
def mappings(wanted):
    """So many for each process, until it is over."""
    usual = MAPPINGS.read_text()
    if int(usual) >= wanted:
        yield
        return
    try:
        MAPPINGS.write_text(str(wanted))
    except PermissionError:
        sys.exit(f"{MAPPINGS} is {usual.strip()} and has to be {wanted}: run this as root")
    try:
        yield
    finally:
        MAPPINGS.write_text(usual)


def outside(options):
    kernel = shutil.which(KERNEL)
    if kernel is None:
        sys.exit(f"{KERNEL} not found: install the package user-mode-linux, or run `make crowd`")
    with tempfile.TemporaryDirectory() as folder:
        answer = pathlib.Path(folder) / "answer.json"
        order = {key: str(value) for key, value in vars(options).items() if key != "write"} | {"answer": str(answer)}
        (pathlib.Path(folder) / "order.json").write_text(json.dumps(order))
        command = [
            kernel, f"mem={MEMORY_MIB}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet", "con=null",
            "con0=fd:0,fd:1", f"init={pathlib.Path(__file__).resolve()}", f"PATH={os.environ['PATH']}", f"CROWD={folder}/order.json",
        ]
        with mappings(MEMORY_MIB * PAGES_PER_MIB):
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if not answer.exists():
            sys.exit("the crowd's kernel ended without an answer, see above")
        text = table(json.loads(answer.read_text()), options)
    print(text)
    if options.write:
        load_table.pages.replace(options.write, BEGIN, load_table.END, f"\n{text}\n")


def inside(order):
    """The first process of the crowd's kernel."""
    for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", RUN)):
        subprocess.run(["mount", "-t", kind, kind, place], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    files = int(order["clients"]) + FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    config = pathlib.Path(RUN) / "crowd.toml"
    config.write_text(CALM)
    load = ["--clients", order["clients"], "--registrations-per-second", order["registrations_per_second"], "--seconds", "1"]
    # What is left of a crowd is for `make load` to tell.
    load_table.AFTERWARDS = 0
    measured = {}
    for name in ("plain", "TLS"):
        print(f"{name} …", file=sys.stderr)
        folder = pathlib.Path(RUN) / name
        folder.mkdir()
        measured[name] = load_table.run(pathlib.Path(order["program"]), load, folder, name == "TLS", ["--config", config])
        print(json.dumps(measured[name]), file=sys.stderr)
    pathlib.Path(order["answer"]).write_text(json.dumps(measured))


def table(measured, options):
    lines = [f"{options.clients} idle clients, in user-mode Linux.", "", "| | plain | TLS | wanted |", "|---|---|---|---|"]
    both = measured["plain"], measured["TLS"]
    rows = [
        ("registered", *(str(of["registered"]) for of in both), "all"),
        ("memory per idle client, KiB", *(load_table.number(of["server"]["idle_kib_per_client"]) for of in both), "14; TLS 24"),
        ("events lost, repeated", *(f"{of['lost_events']}, {of['repeated_events']}" for of in both), "0, 0"),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if any(of["errors"] for of in both):
        lines += ["", "Errors: " + " ".join(json.dumps(of["errors"]) for of in both)]
    return "\n".join(lines)


def main():
    if os.getpid() == 1:
        try:
            inside(json.loads(pathlib.Path(os.environ["CROWD"]).read_text()))
        except BaseException:
            traceback.print_exc()
        finally:
            os.sync()
            ctypes.CDLL(None).reboot(POWER_OFF)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=load_table.ROOT / "target/release/offhook", type=pathlib.Path)
    parser.add_argument("--clients", type=int, default=20000)
    parser.add_argument("--registrations-per-second", type=int, default=60)
    parser.add_argument("--write", type=pathlib.Path, help="the page whose table is replaced")
    options = parser.parse_args()
    options.program = options.program.resolve()
    outside(options)


if __name__ == "__main__":
    main()
