"""How late each piece of speech is heard, by correlation of what was spoken with what was heard."""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, medfilt, sosfilt

WINDOW_S = 0.4
HOP_S = 0.2
# Lags searched reach this far below zero: a receiver's clock may run ahead of the sender's.
EARLIEST_S = -0.05
HIGH_PASS_HZ = 150
# Windows more than this below the mean level hold no speech worth finding.
QUIET_DB = 12
FOUND = 0.6
# Speech repeats itself by the pitch period; a lag this far from its neighbours' is taken for such a repetition.
STRAY_S = 0.04
NEIGHBOURS = 9


@dataclass
class DelayTrack:
    """Delay of the windows that were found. All arrays have one entry per window, in order of time."""

    spoken_at: np.ndarray  # seconds
    delay: np.ndarray  # seconds
    likeness: np.ndarray  # normalised correlation, 0..1
    found: float  # share of the windows with speech that were found

    def at(self, times):
        """Delay at these times of speaking, between and beyond the windows as the nearest say."""
        return np.interp(times, self.spoken_at, self.delay)

    def between(self, begin, end):
        """Delays of the windows spoken in begin..end seconds."""
        return self.delay[(self.spoken_at >= begin) & (self.spoken_at < end)]

    def summary(self):
        """Milliseconds."""
        delay = self.delay * 1000
        p5, median, p95 = np.percentile(delay, [5, 50, 95])
        last = delay[self.spoken_at > self.spoken_at[-1] - 10]
        return {
            "delay_mean": delay.mean(), "delay_median": median, "delay_p5": p5, "delay_p95": p95,
            "delay_max": delay.max(), "delay_last10s": last.mean(), "found": self.found,
        }


def track(spoken, heard, rate, t0, longest):
    """The DelayTrack of two mono signals at `rate`; `t0`: when, in seconds after the first spoken sample, the first
    heard sample was heard; `longest`: longest delay searched, in seconds. None when too little is found."""
    high_pass = butter(4, HIGH_PASS_HZ, "highpass", fs=rate, output="sos")
    spoken, heard = sosfilt(high_pass, spoken), sosfilt(high_pass, heard)
    size = int(WINDOW_S * rate)
    energy_before = np.concatenate([[0], np.cumsum(heard**2)])
    quiet = np.mean(spoken**2) * 10 ** (-QUIET_DB / 10)
    shift, earliest, latest = round(t0 * rate), int(EARLIEST_S * rate), int(longest * rate)
    rows = []
    for start in range(0, len(spoken) - size, int(HOP_S * rate)):
        window = spoken[start:start + size]
        energy = np.sum(window**2)
        if energy / size < quiet:
            continue
        first = max(start - shift + earliest, 0)
        end = min(start - shift + latest + size, len(heard))
        if end - first <= size:
            continue
        product = fftconvolve(heard[first:end], window[::-1], "valid")
        energies = energy_before[first + size:end + 1] - energy_before[first:end - size + 1]
        likeness = product / np.sqrt(energy * np.maximum(energies, energy * 1e-3))
        best = int(np.argmax(likeness))
        rows.append((start / rate, (first + best + shift - start) / rate, likeness[best]))
    return without_strays(np.array(rows).reshape(-1, 3))


def without_strays(rows):
    """The DelayTrack of (time, delay, likeness) rows; None when fewer than five are left."""
    found = rows[rows[:, 2] > FOUND]
    if len(found) > NEIGHBOURS:
        middle = medfilt(found[:, 1], NEIGHBOURS)
        half = NEIGHBOURS // 2
        middle[:half], middle[-half:] = middle[half], middle[-half - 1]
        found = found[np.abs(found[:, 1] - middle) < STRAY_S]
    if len(found) < 5:
        return None
    return DelayTrack(found[:, 0], found[:, 1], found[:, 2], len(found) / len(rows))
