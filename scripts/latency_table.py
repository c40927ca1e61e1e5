#!/usr/bin/env python3
"""Makes demo calls at default settings and in the low-latency mode, and prints the tables of docs/LATENCY.md: best, median and worst of each figure.

Usage: latency_table.py [--runs 10] [--write docs/LATENCY.md] [-- flags of `offhook demo`, for both]
With --write, the tables between the markers in that file are replaced.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import pages  # noqa: E402

# What the table is called in the page, and the flags of its calls.
MODES = [("latency table", []), ("low-latency table", ["--low-latency"])]
FIGURES = [
    ("call to ringing, ms", lambda run: run["setup_ms"]),
    ("answer to established, ms", lambda run: run["established_ms"]),
    ("answer to first sound, ms", lambda run: run["answer_to_first_sound_ms"]),
    ("mouth to ear p50, alice to bob, ms", lambda run: run["a_to_b"]["mouth_to_ear_ms"]["p50"]),
    ("mouth to ear p95, alice to bob, ms", lambda run: run["a_to_b"]["mouth_to_ear_ms"]["p95"]),
    ("mouth to ear p50, bob to alice, ms", lambda run: run["b_to_a"]["mouth_to_ear_ms"]["p50"]),
    ("mouth to ear p95, bob to alice, ms", lambda run: run["b_to_a"]["mouth_to_ear_ms"]["p95"]),
    ("playout delay, alice to bob, ms", lambda run: run["a_to_b"]["playout_delay_ms"]),
    ("correlation, alice to bob", lambda run: run["a_to_b"]["correlation"]),
    ("correlation, bob to alice", lambda run: run["b_to_a"]["correlation"]),
    ("concealed, alice to bob, %", lambda run: run["a_to_b"]["concealed_percent"]),
    ("tick of the media thread p99, us", lambda run: run["media_thread"]["tick_us"]["p99"]),
    ("deadlines missed after start-up", lambda run: run["media_thread"]["deadline_misses"]),
    ("allocations on real-time threads", lambda run: run["media_thread"]["allocations"]),
]
HIGHER_IS_BETTER = ("correlation",)


def one_run(binary, flags, number):
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "demo", "--json", "--out", folder, *flags]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        sys.exit(f"run {number} printed nothing (exit status {done.returncode}):\n{done.stderr}")
    run = json.loads(done.stdout)
    print(f"run {number}: exit {done.returncode}, mouth to ear p50 {run['a_to_b']['mouth_to_ear_ms']['p50']}", file=sys.stderr)
    return run


def row(name, value_of, runs):
    values = [value for value in map(value_of, runs) if value is not None]
    if not values:
        return f"| {name} | not measured | | |"
    ordered = sorted(values, reverse=name.startswith(HIGHER_IS_BETTER))
    best, median, worst = ordered[0], statistics.median(values), ordered[-1]
    return f"| {name} | {best:.4g} | {median:.4g} | {worst:.4g} |"


def table_of(binary, flags, count):
    runs = [one_run(binary, flags, number + 1) for number in range(count)]
    lines = [f"| of {len(runs)} runs | best | median | worst |", "|---|---|---|---|"]
    return "\n".join(lines + [row(name, value_of, runs) for name, value_of in FIGURES])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--binary", default="target/release/offhook")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("flags", nargs="*")
    options = parser.parse_args()
    for name, flags in MODES:
        table = table_of(options.binary, [*flags, *options.flags], options.runs)
        print(f"{name}:\n{table}")
        if options.write:
            pages.replace(options.write, f"<!-- {name}: make latency -->", f"<!-- end of {name} -->", table)


main()
