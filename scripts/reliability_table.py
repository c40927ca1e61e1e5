#!/usr/bin/env python3
"""Counts what becomes of calls when a node, the JetStream leader or all nodes in turn go away, and writes the table of docs/RELIABILITY.md.

Needs target/release/offhook, nats-server and PostgreSQL (scripts/setup.sh test) and some minutes. Fails when a promise was not kept.
"""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import pages  # noqa: E402

BEGIN, END = "<!-- begin: scripts/reliability_table.py -->", "<!-- end -->"
HEAD = """\
| fault | calls | ended by it | told that it cannot be done now | sides that had to come back; after more than 5 s; s: p50, p99, most | \
negotiated anew within 10 s; s: p50, p99, most | hung up within 10 s; s: p50, p99, most | events left out, repeated | calls with one record |
|---|---|---|---|---|---|---|---|---|
"""


def merged(page, rows):
    """The part of the page between the marks, with these rows in the place of those of the same kinds."""
    new = {row.split("|")[1]: row for row in rows.splitlines()}
    old = page.split(BEGIN)[1].split(END)[0]
    text = "\n".join(new.get((line.split("|") + [""])[1], line) for line in old.strip().splitlines())
    return f"\n{text}\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=ROOT / "target/release/offhook", type=pathlib.Path)
    parser.add_argument("--calls", default=1000, type=int)
    parser.add_argument("--profile", default="release", choices=["release", "dev"])
    parser.add_argument("--faults", default="", help="only these of node,leader,restart,nats,partition; other lines of the page stay")
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    # As `make test` builds it; alone it would be built again, with other features of the same libraries.
    what = ["--workspace"] if options.profile == "dev" else ["-p", "offhook-server"]
    command = ["cargo", "test", "--profile", options.profile, *what, "--test", "behaviour", "--",
               "--ignored", "--exact", "--nocapture", "reliability::table"]
    environment = {**os.environ, "OFFHOOK_PROGRAM": str(options.program.resolve()), "OFFHOOK_RELIABILITY_CALLS": str(options.calls),
                   "OFFHOOK_RELIABILITY_FAULTS": options.faults}
    rows, kept = "", True
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "RELIABILITY |" in line:
                rows += line.split("RELIABILITY ", 1)[1]
                print(rows.splitlines()[-1], flush=True)
            elif "NOT RUN" in line or "STRANGE" in line:
                kept = kept and "STRANGE" not in line
                print(line.strip(), flush=True)
    if process.returncode:
        sys.exit(process.returncode)
    build = "" if options.profile == "release" else ", the clients a development build"
    text = f"{os.cpu_count()} processors for three nodes, three NATS servers and all clients{build}.\n\n{HEAD}{rows}"
    if options.write:
        pages.replace(options.write, BEGIN, END, merged(options.write.read_text(), rows) if options.faults else f"\n{text}")
    else:
        print(text)
    if not kept:
        sys.exit("promises were not kept, see the lines that begin with STRANGE")


main()
