#!/usr/bin/env python3
"""Runs the benchmarks that say what a call costs, and prints the tables of docs/COST.md.

Usage: cost_table.py [--quick] [--write docs/COST.md]
With --quick the criterion benchmarks measure for a moment only. With --write, the text between the two markers in that file is replaced.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import pages  # noqa: E402

BEGIN, END = "<!-- cost tables: make cost -->", "<!-- end of cost tables -->"
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release/offhook"
TICK_US = 5000
NETWORKS = ("no loss", "10 % loss")
STAGES = ("high-pass", "echo", "noise", "gain", "everything")
# Blocks of 10 ms in a minute, over nanoseconds in a second.
PER_MINUTE = 6000 / 1e9
# Of docs/COST.md, in the order in which `endpoint` prints them; the limit where there is one.
LIMITS = {"complexity 6": 1.2, "light": 0.35}


def run(*command):
    print("running:", *command, file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}")
    return done.stdout


def criterion(bench, quick):
    """Nanoseconds by name."""
    flags = ["--output-format", "bencher", *(["--quick"] if quick else [])]
    out = run("cargo", "bench", "--bench", bench, "--", *flags)
    found = re.findall(r"^test (.+?) \.\.\. bench:\s+([\d,]+) ns/iter", out, re.MULTILINE)
    return {name: int(time.replace(",", "")) for name, time in found}


def verdict(value, limit):
    return "" if limit is None else f"{limit:g}" + ("" if value <= limit else " **not met**")


def endpoint():
    lines = [re.split(r"\s{2,}", line.strip()) for line in run("cargo", "bench", "--bench", "endpoint").splitlines()]
    rows = [(line[0], line[-1]) for line in lines if len(line) == 2]
    yield "| one end of a call, nothing enhanced | processor seconds per minute | at most |\n|---|---|---|"
    for name, figure in rows:
        if "MiB" not in figure:
            yield f"| {name} | {figure} | {verdict(float(figure), LIMITS.get(name))} |"
    yield "\n| memory | MiB | at most |\n|---|---|---|"
    for name, figure in rows:
        if "MiB" in figure:
            mebibytes = float(figure.split()[0])
            yield f"| {name} | {mebibytes:.2f} | {verdict(mebibytes, 4)} |"
    yield ""


def enhancement(quick, of_an_end):
    times = criterion("enhance", quick)
    yield "| enhancement of a microphone | us per 10 ms | processor seconds per minute |\n|---|---|---|"
    for stage in STAGES:
        time = times[f"enhance 10 ms/{stage}"]
        yield f"| {stage} | {time / 1000:.0f} | {time * PER_MINUTE:.2f} |"
    whole = of_an_end + times["enhance 10 ms/everything"] * PER_MINUTE
    yield f"\nA whole end with all of it: {whole:.2f} processor seconds per minute (at most {verdict(whole, 2.5)}).\n"


def jitter(quick):
    times = criterion("jitter", quick)
    yield "| 20 ms into the jitter buffer and out of it | Offhook, us | `neteq` crate, us | ratio |\n|---|---|---|---|"
    for network in NETWORKS:
        for decoder in ("free decoder", "libopus"):
            ours, theirs = (times[f"20 ms in and out, {network}/{who}, {decoder}"] for who in ("offhook", "neteq crate"))
            yield f"| {network}, {decoder} | {ours / 1000:.1f} | {theirs / 1000:.1f} | {theirs / ours:.1f} |"
    yield ""


def ticks():
    run("cargo", "build", "--release", "--quiet", "-p", "offhook-cli")
    yield "| tick of the media thread, whole demo calls | p50, us | p99, us | p99 of its 5 ms | at most |\n|---|---|---|---|---|"
    for name, flags in (("a perfect network", []), ("20 % lost, 20 ms of jitter", ["--loss", "20", "--jitter", "20"])):
        with tempfile.TemporaryDirectory() as folder:
            # It also judges the sound, which is not the question here.
            command = [PROGRAM, "demo", "--json", "--out", folder, *flags]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        tick = json.loads(done.stdout)["media_thread"]["tick_us"]
        share = 100 * tick["p99"] / TICK_US
        yield f"| {name} | {tick['p50']:.0f} | {tick['p99']:.0f} | {share:.0f} % | {verdict(share, 40)} % |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    lines = list(endpoint())
    of_an_end = next(float(line.split("|")[2]) for line in lines if line.startswith("| complexity 6 |"))
    lines += enhancement(options.quick, of_an_end)
    lines += jitter(options.quick)
    lines += ticks()
    tables = "\n".join(lines)
    print(tables)
    if options.write:
        pages.replace(options.write, BEGIN, END, tables)


main()
