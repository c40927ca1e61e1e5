#!/usr/bin/env python3
"""Scores what was heard against what was spoken: delay, PESQ-WB, PLCMOS, ESTOI, share of speech not heard.

Sample 0 of SPOKEN is second 0; sample 0 of HEARD was heard at second t0. Several HEARD files are scored two at a time.
"""
import argparse
import concurrent.futures
import functools
import json
import math
import os
import pathlib
import sys

import numpy as np
import soundfile
from scipy.signal import resample_poly

import delay
import sound


def load(path):
    """First channel at 16 kHz."""
    samples, rate = soundfile.read(path, always_2d=True)
    common = math.gcd(rate, sound.RATE)
    return resample_poly(samples[:, 0], sound.RATE // common, rate // common)


@functools.cache
def judges(opinion):
    return sound.Judges(opinion)


def score(spoken_path, heard_path, t0=0.0, longest=1.5, opinion=True, track_path=None):
    """Everything measured of one file, as a dictionary; delays in milliseconds. Only `found` where it could not be aligned."""
    spoken, heard = load(spoken_path), load(heard_path)
    delays = delay.track(spoken, heard, sound.RATE, t0, longest)
    if delays is None:
        return {"found": 0.0}
    if track_path:
        rows = np.column_stack([delays.spoken_at, delays.delay * 1000, delays.likeness])
        np.savetxt(track_path, rows, fmt="%.3f", delimiter=",", header="spoken_s,delay_ms,likeness", comments="")
    measured = {key: float(value) for key, value in delays.summary().items()}
    speech, absent = sound.missing(spoken, heard, t0, delays)
    measured["not_heard_percent"] = 100 * float(absent.sum() / max(speech.sum(), 1))
    measured["longest_not_heard_ms"] = 10 * sound.longest_run(absent)
    return measured | judges(opinion).scores(sound.blocks(spoken, heard, t0, delays))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spoken", type=pathlib.Path)
    parser.add_argument("heard", type=pathlib.Path, nargs="+")
    parser.add_argument("--t0", type=float, default=0.0, help="when the first heard sample was heard, seconds")
    parser.add_argument("--longest", type=float, default=1.5, help="longest delay searched, seconds")
    parser.add_argument("--no-opinion", action="store_true", help="leave PLCMOS out (it takes the longest)")
    parser.add_argument("--track", type=pathlib.Path, help="CSV file (one HEARD) or folder (several) for the delay over time")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    options = parser.parse_args()

    def track_path(heard):
        if options.track is None or len(options.heard) == 1:
            return options.track
        options.track.mkdir(parents=True, exist_ok=True)
        return options.track / f"{heard.stem}.csv"

    one = functools.partial(score, options.spoken, t0=options.t0, longest=options.longest, opinion=not options.no_opinion)
    with concurrent.futures.ProcessPoolExecutor(min(os.cpu_count() or 1, len(options.heard))) as pool:
        results = [pool.submit(one, heard, track_path=track_path(heard)) for heard in options.heard]
        scores = {str(heard): result.result() for heard, result in zip(options.heard, results)}
    output = next(iter(scores.values())) if len(scores) == 1 else scores
    text = json.dumps(output, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    if any("pesq" not in one_score for one_score in scores.values()):
        sys.exit("the heard sound could not be aligned with the spoken")


if __name__ == "__main__":
    main()
