#!/usr/bin/env python3
"""Makes a minute of recorded human speech (48 kHz, mono) from packages of the system. Equal names give equal files.

Usage: speech.py NAME OUTPUT.wav
NAME: english (first some words at full bandwidth, then sentences of a woman), french (a woman), italian (a man)
"""
import pathlib
import sys

import av
import numpy as np
import soundfile
from scipy.signal import resample_poly

RATE = 48_000
FRAME = RATE // 100
LENGTH_S = 60
# RMS where speech is active: -26 dBFS.
ACTIVE_RMS = 0.05
ACTIVE_BELOW_LOUD_DB = 30
LONGEST_PAUSE = 40  # frames, inside a recording
PAUSE_BETWEEN = 35  # frames
LEAST_SPEECH_S = 0.5
# The recordings of whole sentences, then the others, in order of name.
SENTENCES = ("demo-", "basic-", "conf-", "dir-", "priv-", "queue-")
SETS = {
    "english": ["sounds/alsa/*.wav", "asterisk/sounds/en_US_f_Allison/*.g722"],
    "french": ["asterisk/sounds/fr_CA_f_June/*.g722"],
    "italian": ["asterisk/sounds/it_IT_m_Carlo/*.g722"],
}
PACKAGES = "alsa-utils asterisk-core-sounds-en-g722 asterisk-core-sounds-fr-g722 asterisk-core-sounds-it-g722"
NOT_SPEECH = ("Noise", "ascending-2tone", "beep", "beeperr", "descending-2tone", "tt-monkeys", "tt-weasels")
# Left out at the front of each recording: G.722 begins with a click of its filters.
SETTLING = 2


def load(path):
    """Mono at 48 kHz."""
    if path.suffix == ".wav":
        samples, rate = soundfile.read(path)
    else:
        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        samples, rate = np.concatenate(frames) / 32768, 16_000
    return resample_poly(samples, RATE // rate, 1)


def words(samples):
    """The recording at the usual level without silence at its ends and with shorter pauses; None when it says too little."""
    frames = samples[:len(samples) // FRAME * FRAME].reshape(-1, FRAME)[SETTLING:]
    if len(frames) * 0.01 < LEAST_SPEECH_S:
        return None
    levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    active = levels > np.percentile(levels, 95) - ACTIVE_BELOW_LOUD_DB
    if np.sum(active) * 0.01 < LEAST_SPEECH_S:
        return None
    first, last = np.flatnonzero(active)[[0, -1]]
    kept, quiet = [], 0
    for frame in range(max(first - 3, 0), min(last + 8, len(frames))):
        quiet = 0 if active[frame] else quiet + 1
        if quiet <= LONGEST_PAUSE:
            kept.append(frames[frame])
    gain = ACTIVE_RMS / np.sqrt(np.mean(frames[active] ** 2))
    return np.concatenate(kept) * gain


def assemble(name, share=pathlib.Path("/usr/share")):
    """Exactly a minute; exits when the packages are not there."""
    parts, seconds = [], 0.0
    for pattern in SETS[name]:
        paths = [path for path in share.glob(pattern) if path.stem not in NOT_SPEECH]
        if not paths:
            sys.exit(f"no recordings match {share / pattern}; install them with: apt-get install {PACKAGES}")
        for path in sorted(paths, key=lambda path: (not path.stem.startswith(SENTENCES), path.stem)):
            said = words(load(path))
            if said is not None and seconds < LENGTH_S:
                parts += [said, np.zeros(PAUSE_BETWEEN * FRAME)]
                seconds += len(parts[-2]) / RATE + PAUSE_BETWEEN / 100
    speech = np.concatenate(parts)[:LENGTH_S * RATE]
    return np.clip(np.pad(speech, (0, LENGTH_S * RATE - len(speech))), -0.95, 0.95)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SETS:
        sys.exit(__doc__)
    soundfile.write(sys.argv[2], assemble(sys.argv[1]), RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
