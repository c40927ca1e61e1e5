#!/usr/bin/env python3
"""Plays speech through a set of traces with `offhook simulate`, scores what is heard and prints a table.

Usage: run_set.py --traces DIR --speech WAV --out DIR [--only NAME ...] [-- flags of `offhook simulate`]
Two runs at a time. Left in --out: NAME.wav, NAME.simulate.json, NAME.score.json, NAME.track.csv for every trace, and set.json.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import rfactor
import score

COLUMNS = [
    # heading, width, decimals, value of (score, simulation)
    ("delay", 6, 1, lambda heard, run: heard.get("delay_mean")),
    ("p95", 6, 1, lambda heard, run: heard.get("delay_p95")),
    ("last", 6, 1, lambda heard, run: heard.get("delay_last10s")),
    ("PESQ", 5, 2, lambda heard, run: heard.get("pesq")),
    ("PLCMOS", 6, 2, lambda heard, run: heard.get("plcmos")),
    ("ESTOI", 5, 3, lambda heard, run: heard.get("estoi")),
    ("not heard %", 11, 2, lambda heard, run: heard.get("not_heard_percent")),
    ("made up ms", 10, 0, lambda heard, run: run["time_ms"].get("concealed")),
    ("kb/s", 5, 1, lambda heard, run: run["payload_bps"] / 1000),
    ("R own", 5, 1, lambda heard, run: run.get("r_factor")),
    ("R PESQ", 6, 1, lambda heard, run: heard.get("r_pesq")),
    ("R PLCMOS", 8, 1, lambda heard, run: heard.get("r_plcmos")),
]


def simulate(binary, trace, speech, heard, flags):
    """Runs the command; returns what it printed as JSON."""
    command = [binary, "simulate", "--trace", trace, "--input", speech, "--output", heard, "--json", *flags]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def with_r(heard):
    """The score with the R factors it amounts to."""
    delay = heard.get("delay_mean")
    return heard | {
        "r_pesq": rfactor.r_factor(delay, heard.get("pesq")),
        "r_plcmos": rfactor.r_factor(delay, heard.get("plcmos")),
    }


def judge(spoken, heard, out, name, opinion=True):
    """Scores `heard` and leaves the score and the delay track in `out`."""
    measured = with_r(score.score(spoken, heard, opinion=opinion, track_path=out / f"{name}.track.csv"))
    (out / f"{name}.score.json").write_text(json.dumps(measured, indent=1) + "\n")
    return measured


def one(binary, trace, speech, out, flags, opinion):
    heard = out / f"{trace.stem}.wav"
    run = simulate(binary, trace, speech, heard, flags)
    (out / f"{trace.stem}.simulate.json").write_text(json.dumps(run, indent=1) + "\n")
    return {"run": run, "score": judge(speech, heard, out, trace.stem, opinion)}


def heading():
    return f"{'condition':20}" + "".join(f" {name:>{width}}" for name, width, _, _ in COLUMNS)


def row(name, result):
    cells = []
    for _, width, decimals, value_of in COLUMNS:
        value = value_of(result["score"], result["run"])
        cells.append(f" {'-':>{width}}" if value is None else f" {value:{width}.{decimals}f}")
    return f"{name:20}" + "".join(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=pathlib.Path, required=True, help="folder of CSV traces")
    parser.add_argument("--speech", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these traces")
    parser.add_argument("--offhook", default="target/release/offhook", help="the command (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--no-opinion", action="store_true", help="leave PLCMOS out: three times as fast")
    # argparse would take the flags after `--` for its own where a list comes before.
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, flags = parser.parse_args(arguments[:end]), arguments[end + 1:]
    traces = [path for path in sorted(options.traces.glob("*.csv")) if not options.only or path.stem in options.only]
    if not traces:
        sys.exit(f"no traces in {options.traces}" + (f" named {' '.join(options.only)}" if options.only else ""))
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    print(heading(), flush=True)
    results, failed = {}, False
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        task = lambda trace: pool.submit(
            one, options.offhook, trace, options.speech, options.out, flags, not options.no_opinion)
        for name, running in [(trace.stem, task(trace)) for trace in traces]:
            try:
                results[name] = running.result()
                print(row(name, results[name]), flush=True)
            except (RuntimeError, OSError, ValueError) as error:
                failed = True
                print(f"{name:20} {error}", flush=True)
    (options.out / "set.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{len(results)} traces in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
