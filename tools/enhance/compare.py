#!/usr/bin/env python3
"""Compares Offhook's enhancement of microphones with libwebrtc's audio processing module on the same files.

    tools/enhance/compare.py [--seeds N] [--write docs/ENHANCEMENT.md]

Needs `scripts/setup.sh enhance` (libwebrtc's module as in PyPI `livekit`, DNSMOS as in PyPI `speechmos`) and the example `enhance` built in
release. Echo files are 16-bit, 48 kHz; both get the far end 10 ms by 10 ms, then the microphone.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
import wave

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import pages  # noqa: E402

warnings.filterwarnings("ignore")
RATE, BLOCK = 48_000, 480
BEGIN, END = "<!-- written by `make enhance` -->", "<!-- end -->"


def load(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2), path
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").copy()


def libwebrtc(far, mic, **switches):
    """The module's output, and its CPU time in microseconds per 10 ms, Python's share included."""
    from livekit import rtc

    module = rtc.AudioProcessingModule(**switches)
    out = np.zeros_like(mic)
    begin = time.process_time()
    for at in range(0, len(mic) - BLOCK + 1, BLOCK):
        if switches.get("echo_cancellation"):
            module.process_reverse_stream(rtc.AudioFrame(far[at:at + BLOCK].tobytes(), RATE, 1, BLOCK))
            module.set_stream_delay_ms(0)
        frame = rtc.AudioFrame(bytearray(mic[at:at + BLOCK].tobytes()), RATE, 1, BLOCK)
        module.process_stream(frame)
        out[at:at + BLOCK] = np.frombuffer(bytes(frame.data.cast("B")), "<i2")
    return out, (time.process_time() - begin) * 1e6 / (len(mic) / BLOCK)


def power(sound, start, stop):
    return np.mean((sound[int(start * RATE):int(stop * RATE)].astype(float) / 32768) ** 2) + 1e-14


def loss(mic, out, start, stop):
    """Echo return loss enhancement: how much less of the microphone's power is left, in dB."""
    return 10 * np.log10(power(mic, start, stop) / power(out, start, stop))


# When the delay of the room `jumps` changes, in seconds.
JUMPS = (10, 20)


def settled(mic, out, start, stop, jumps):
    """Echo return loss enhancement, but for the two seconds after each jump."""
    kept = np.concatenate([np.arange(int(a * RATE), int(b * RATE)) for a, b in zip((start, *[j + 2 for j in jumps]), (*jumps, stop)) if a < b])
    return loss(mic[kept], out[kept], 0, len(kept) / RATE)


def until_gone(mic, out, jump, below=15, step=0.1):
    """Seconds from a jump until each tenth of one in which the echo is loud loses 15 dB, four seconds being looked at."""
    late = [n + 1 for n in range(40) if power(mic, jump + n * step, jump + (n + 1) * step) > 1e-5
            and loss(mic, out, jump + n * step, jump + (n + 1) * step) < below]
    return max(late, default=0) * step


def near_gain(near, out, start=16, stop=25):
    """How much of the near end is found in the output, where it fits best, in dB."""
    said = near[start * RATE:stop * RATE].astype(float)
    best = max(np.dot(said, out[start * RATE + lag:stop * RATE + lag]) for lag in range(0, 1500, 3))
    return 20 * np.log10(max(best, 1e-9) / np.dot(said, said))


def dnsmos(sound):
    from scipy.signal import resample_poly
    from speechmos import dnsmos as model

    return model.run(np.clip(resample_poly(sound.astype(float) / 32768, 1, 3), -1, 1), sr=16_000)["ovrl_mos"]


def example(*arguments):
    target = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"])
    binary = pathlib.Path(json.loads(target)["target_directory"]) / "release/examples/enhance"
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release -p offhook-media --example enhance")
    return subprocess.check_output([binary, *map(str, arguments)], text=True)


def measure(folder, results):
    for line in example("process", folder).splitlines():
        run = json.loads(line)
        results["cpu"].setdefault(run["kind"], []).append(run["micros_per_block"])
    for path in sorted(folder.glob("*.mic.wav")):
        name = path.name.removesuffix(".mic.wav")
        far, near, mic = (load(folder / f"{name}.{kind}.wav") for kind in ("far", "near", "mic"))
        ours = load(folder / f"{name}.offhook.wav")
        kind, scene = name.split("-", 1)
        if kind == "noise":
            theirs, micros = libwebrtc(far, mic, noise_suppression=True)
            scene = scene.split("-", 1)[1]
            before = dnsmos(mic)
            row = (before, dnsmos(ours) - before, dnsmos(theirs) - before)
        else:
            theirs, micros = libwebrtc(far, mic, echo_cancellation=True, high_pass_filter=True)
            if kind == "talk":
                both = load(folder / f"{name}.offhook+noise.wav")
                row = (near_gain(near, ours), near_gain(near, both), near_gain(near, theirs))
            else:
                jumps = JUMPS if scene == "jumps" else ()
                row = [settled(mic, out, start, 30, [jump for jump in jumps if jump + 2 > start]) for start in (2, 21) for out in (ours, theirs)]
                for jump in jumps:
                    results["gone"].setdefault(f"after {jump} s", []).append((until_gone(mic, ours, jump), until_gone(mic, theirs, jump)))
                if jumps:
                    results["with jumps"].append((loss(mic, ours, 2, 30), loss(mic, theirs, 2, 30)))
        results["cpu"].setdefault("libwebrtc " + ("noise" if kind == "noise" else "echo"), []).append(micros)
        results[kind].setdefault(scene, []).append(row)


def table(results):
    def rows(kind, shape):
        for scene, values in results[kind].items():
            yield f"| {scene} | " + " | ".join(shape % value for value in np.mean(values, axis=0)) + " |"
        every = [value for values in results[kind].values() for value in values]
        yield "| **mean** | " + " | ".join(shape % value for value in np.mean(every, axis=0)) + " |"

    yield "Echo return loss enhancement, dB:"
    yield ""
    yield "| room | Offhook after 2 s | libwebrtc after 2 s | Offhook, last 9 s | libwebrtc, last 9 s |"
    yield "|---|---|---|---|---|"
    yield from rows("echo", "%.1f")
    yield ""
    yield "Of the room `jumps` the two seconds after each jump are left out; with them Offhook has %.1f dB after 2 s, libwebrtc %.1f." % tuple(np.mean(results["with jumps"], axis=0))
    yield ""
    yield "Seconds from a jump until no tenth of one loses less than 15 dB of its echo:"
    yield ""
    yield "| jump | Offhook | libwebrtc |"
    yield "|---|---|---|"
    yield from rows("gone", "%.2f")
    yield ""
    yield "Gain of the near end in double talk, dB:"
    yield ""
    yield "| room | Offhook, echo | Offhook, echo and noise | libwebrtc, echo |"
    yield "|---|---|---|---|"
    yield from rows("talk", "%.1f")
    yield ""
    yield "DNSMOS (overall) of noisy speech, and what noise suppression gains:"
    yield ""
    yield "| noise and ratio in dB | before | Offhook gains | libwebrtc gains |"
    yield "|---|---|---|---|"
    yield from rows("noise", "%.2f")


def times(results):
    yield "Time per 10 ms, microseconds (by the wall clock for Offhook; libwebrtc's is CPU time with Python's share):"
    yield ""
    yield "| what | mean |"
    yield "|---|---|"
    names = {"offhook": "Offhook, echo or noise", "offhook+noise": "Offhook, echo and noise", "offhook+all": "Offhook, everything"}
    for kind, micros in results["cpu"].items():
        yield f"| {names.get(kind, kind)} | {np.mean(micros):.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="rooms and noises of so many seeds")
    parser.add_argument("--write", type=pathlib.Path, help="put the tables, but for the times, between the marks of this page")
    arguments = parser.parse_args()
    results = {"echo": {}, "gone": {}, "with jumps": [], "talk": {}, "noise": {}, "cpu": {}}
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            print(f"seed {seed}", file=sys.stderr)
            example("scenes", folder, seed)
            measure(pathlib.Path(folder), results)
    text = "\n".join(table(results))
    print(text, "", *times(results), sep="\n")
    if arguments.write:
        pages.replace(arguments.write, BEGIN, END, f"\n{text}\n")


main()
