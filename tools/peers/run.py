#!/usr/bin/env python3
"""Scores Offhook, the `neteq` crate and GStreamer on the same speech and packet traces and writes docs/QUALITY.md.

Run it by `make peers`, which builds what it needs. A set is SPEECH:SEED, speech as of tools/score/speech.py and the seed of the traces.
The two others take arrivals by the clock of the machine: a minute of speech takes them a minute, all traces at the same time.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "score"))

import curves  # noqa: E402
import outages  # noqa: E402
import report  # noqa: E402
import run_set  # noqa: E402
import score  # noqa: E402
import speech  # noqa: E402

# Seconds, for the estimate: all traces in real time; one file scored on one core.
REAL_TIME_S, SCORING_S = 66, 14
# The hours of drift take as long as so many files.
HOUR_SCORES = 40
SHORT_PACKETS = ("clean", "lan")
HOUR_MINUTES = 60
# Clocks that are off by 200 ppm, either way, drift apart by 0.72 s in an hour; no packet may arrive before it was sent.
DRIFTS = {"drift_plus_200ppm": (0.0, 200e-6), "drift_minus_200ppm": (740.0, -200e-6)}
# A thread that woke up this late gave its receiver another network than the trace's.
LATE_WAKE_UP_MS = 10


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def real_time():
    """Prefix of a command that shall not wait for other work of the machine, where that is allowed."""
    prefix = ["chrt", "--rr", "5"]
    allowed = shutil.which("chrt") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if allowed else []


def hour_of_drift(one):
    """The speech of a set said over and over for an hour, and the traces of an hour of drift."""
    samples, rate = score.soundfile.read(one.speech, dtype="int16")
    long_speech = one.folder / "hour.wav"
    score.soundfile.write(long_speech, np.tile(samples, HOUR_MINUTES), rate, subtype="PCM_16")
    for name, (first, drift) in DRIFTS.items():
        sent = [20.0 * k for k in range(HOUR_MINUTES * 3000)]
        rows = [f"{k},{at:.3f},{at + first + at * drift:.3f}" for k, at in enumerate(sent)]
        trace = one.folder / f"{name}, one hour.csv"
        trace.write_text("\n".join(["k,send_ms,arrival_ms", *rows]) + "\n")
        yield trace, long_speech


class Set:
    """Speech and traces, and the folders of what each receiver heard."""

    def __init__(self, name, options):
        self.name = name
        voice, seed = name.split(":")
        self.folder = options.out / f"{voice}-{seed}"
        self.speech = self.folder / "speech.wav"
        for receiver in report.RECEIVERS:
            (self.folder / receiver).mkdir(parents=True, exist_ok=True)
        score.soundfile.write(self.speech, speech.assemble(voice), speech.RATE, subtype="PCM_16")
        subprocess.run([options.trace_maker, self.folder / "traces", seed], check=True)
        self.traces = sorted((self.folder / "traces").glob("*.csv"))

    def play_to_peers(self, options):
        """The receivers that need the time the speech takes, at the same time."""
        fed = []
        for trace in self.traces:
            rows = trace.read_text().splitlines()[1:]
            loss = round(100 * sum(row.endswith("lost") for row in rows) / len(rows))
            packets = self.folder / f"packets-{loss}"
            if not packets.exists():
                subprocess.run([options.peers, "packets", self.speech, packets, str(loss)], check=True)
            fed.append(f"{packets}:{trace}")
        commands = [
            [options.peers, "neteq", self.speech, self.folder / "neteq", *self.traces],
            [HERE / "gstreamer.py", self.folder / "gstreamer", *fed],
        ]
        # One after the other: each alone needs little of the machine, and both together would wait for each other.
        for command in commands:
            subprocess.run([*real_time(), *map(str, command)], check=True)


def offhook(binary, one, trace, flags, name, spoken=None):
    """`spoken`: other speech than the set's, too long for the slowest of the measures."""
    out = one.folder / "offhook"
    heard = out / f"{name}.wav"
    run = run_set.simulate(binary, trace, spoken or one.speech, heard, flags)
    scored = run_set.judge(spoken or one.speech, heard, out, name, opinion=spoken is None)
    result = {"run": run, "score": scored, "track": str(out / f"{name}.track.csv")}
    if trace.stem == "outage_1s":
        result["outages"] = outages.played(binary, trace, one.speech, out, flags)
    return result


def peer(one, receiver, trace):
    out = one.folder / receiver
    run = json.loads((out / f"{trace.stem}.json").read_text())
    scored = run_set.judge(one.speech, out / f"{trace.stem}.wav", out, trace.stem)
    return {"run": run, "score": scored, "track": str(out / f"{trace.stem}.track.csv")}


def itself(one):
    """What the measures say of the speech without codec and network."""
    return {"run": {}, "score": run_set.judge(one.speech, one.speech, one.folder, "speech")}


def tasks(options, sets):
    """(set, receiver, name of the run, function, arguments) of everything that is scored."""
    for one in sets:
        yield one.name, "itself", "speech", itself, (one,)
        for trace in one.traces:
            yield one.name, "offhook", trace.stem, offhook, (options.offhook, one, trace, options.flags, trace.stem)
            if trace.stem in SHORT_PACKETS:
                name = f"{trace.stem}, 10 ms packets"
                yield one.name, "offhook", name, offhook, (options.offhook, one, trace, [*options.flags, "--ptime", "10"], name)
            if one.name in options.compared:
                for receiver in report.RECEIVERS[1:]:
                    yield one.name, receiver, trace.stem, peer, (one, receiver, trace)


def hours(options, one):
    for trace, long_speech in hour_of_drift(one):
        yield one.name, "offhook", trace.stem, offhook, (options.offhook, one, trace, options.flags, trace.stem, long_speech)


def priced(options, one):
    for condition, price, function, arguments in curves.tasks(options, one):
        yield one.name, curves.RESULT, (condition, price), function, arguments


def score_all(options, sets):
    work = list(tasks(options, sets)) + (list(hours(options, sets[0])) if options.hour else [])
    work += list(priced(options, sets[0])) if options.curves else []
    results, begin = {}, time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        running = {pool.submit(function, *arguments): key for *key, function, arguments in work}
        for count, done in enumerate(concurrent.futures.as_completed(running), 1):
            name, receiver, run = running[done]
            result = done.result()
            results.setdefault(name, {}).setdefault(receiver, {})[run] = result
            left = (time.monotonic() - begin) / count * (len(work) - count)
            heard = result["score"]
            figures = f"{heard['delay_mean']:.1f} ms, PESQ {heard['pesq']:.2f}" if heard.get("pesq") else "could not be aligned"
            say(f"{count}/{len(work)} {name} {receiver} {run}: {figures}; {left / 60:.0f} min left")
    return results


def warn_of_late_wake_ups(results):
    late = [
        f"{name} {receiver} {run}: {result['run']['worst_wake_up_ms']:.0f} ms"
        for name, receivers in results.items()
        for receiver, runs in receivers.items()
        for run, result in runs.items()
        if result["run"].get("worst_wake_up_ms", 0) > LATE_WAKE_UP_MS
    ]
    if late:
        say("the machine was busy, these runs woke up late and should be made again: " + "; ".join(late))
    return late


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--offhook", default="target/release/offhook", help="the command")
    parser.add_argument("--peers", required=True, help="the executable of benches/peers.rs")
    parser.add_argument("--trace-maker", required=True, help="the executable of crates/sim/examples/traces.rs")
    parser.add_argument("--sets", nargs="+", default=["english:1", "english:2", "french:3", "italian:4"])
    parser.add_argument("--compared", nargs="*", default=["english:1", "french:3"], help="sets on which the others run too")
    parser.add_argument("--no-hour", dest="hour", action="store_false", help="leave the hour of drift out")
    parser.add_argument("--no-curves", dest="curves", action="store_false", help="leave the curves of delay against sound out")
    parser.add_argument("--flags", nargs="*", default=[], help="flags of `offhook simulate`")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/peers"))
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path("docs/QUALITY.md"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.compared = [name for name in options.compared if name in options.sets]
    shutil.rmtree(options.out, ignore_errors=True)
    say("making speech and traces")
    sets = [Set(name, options) for name in options.sets]
    files = sum(1 for _ in tasks(options, sets)) + (sum(1 for _ in priced(options, sets[0])) if options.curves else 0)
    estimate = len(options.compared) * 2 * REAL_TIME_S + (files + HOUR_SCORES * options.hour) * SCORING_S / options.jobs
    say(f"{files} files to score; about {estimate / 60:.0f} min on an idle machine")
    if options.compared and not real_time():
        say("real-time priority is not allowed to this user: leave the machine alone while the others run")
    for one in sets:
        if one.name in options.compared:
            say(f"{one.name}: the neteq crate, then GStreamer, in real time ({2 * REAL_TIME_S} s)")
            one.play_to_peers(options)
    results = score_all(options, sets)
    late = warn_of_late_wake_ups(results)
    figures = {
        "curves": curves.by_condition(results[sets[0].name].pop(curves.RESULT, {})),
        "sets": options.sets, "compared": options.compared, "flags": options.flags, "late": late,
        "itself": {name: receivers.pop("itself")["speech"]["score"] for name, receivers in results.items()},
        # In the order of the command, not in that of the scoring.
        "results": {name: {receiver: dict(sorted(runs.items())) for receiver, runs in results[name].items()} for name in options.sets},
    }
    (options.out / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    report.write(figures, options.page)
    say(f"written: {options.page}, its pictures, and everything heard in {options.out}")


if __name__ == "__main__":
    main()
