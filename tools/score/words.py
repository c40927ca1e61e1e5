"""Whether words were heard at all, at whatever delay: by the likeness of their spectra over time, because sound that was restored
by a model or played late and faster has the words but not the waveform."""

import numpy as np
from scipy.signal import stft

import sound

HOP_S = 0.01
PIECE = 30  # hops
STEP = 5  # hops
BANDS = 16
LOWEST_HZ, HIGHEST_HZ = 150, 5000
# A band this much below the loudest moment of a piece is silence.
FLOOR_DB = 40
# What was missed is played so much faster.
TEMPOS = (1.0, 1.25, 1.5)
# Other words than those that were spoken are hardly ever as alike as this, the same words nearly always (see test_score.py).
ALIKE = 0.81


def heard_share(spoken, heard, t0, begin, end, longest):
    """Percent of the speech of begin..end seconds that is heard with a delay of 0..longest seconds; None without speech there."""
    best = likenesses(spoken, heard, t0, begin, end, longest)
    return 100 * float(np.mean(best > ALIKE)) if len(best) else None


def likenesses(spoken, heard, t0, begin, end, longest):
    """The greatest likeness over all delays, for pieces of 300 ms that lie within begin..end and hold speech."""
    said, got = bands(spoken), bands(heard)
    shift, lags = round(t0 / HOP_S), range(int(longest / HOP_S))
    best = []
    for start in range(int(begin / HOP_S), int(end / HOP_S) - PIECE + 1, STEP):
        piece = said[:, start:start + PIECE]
        if np.mean(10 * np.log10(piece.sum(axis=0)) > sound.SPEECH_DB) < 0.5:
            continue
        shape = normal(piece)
        windows = played(got, [start - shift + lag for lag in lags])
        best.append(max((float(np.sum(shape * normal(window, piece.max()))) for window in windows), default=0.0))
    return np.array(best)


def played(got, starts):
    """What lies at `starts`, as long as a piece, and faster."""
    for tempo in TEMPOS:
        length = round(PIECE / tempo)
        within = np.linspace(0, length - 1, PIECE)
        before = np.minimum(within.astype(int), length - 2)
        part = within - before
        for first in starts:
            if 0 <= first <= got.shape[1] - length:
                window = got[:, first:first + length]
                yield window[:, before] * (1 - part) + window[:, before + 1] * part


def bands(samples):
    """Power in logarithmic bands, one column per 10 ms."""
    hop = int(HOP_S * sound.RATE)
    frequencies, _, spectrum = stft(samples, sound.RATE, nperseg=2 * hop, noverlap=hop, nfft=512, padded=True)
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    power = np.abs(spectrum) ** 2
    rows = [power[(frequencies >= low) & (frequencies < high)].sum(axis=0) for low, high in zip(edges, edges[1:])]
    return np.array(rows) + 1e-12


def normal(piece, loudest=None):
    """Levels above the floor, each band without its mean, of unit length."""
    level = 10 * np.log10(piece / (loudest or piece.max()))
    level = np.maximum(level, -FLOOR_DB)
    level -= level.mean(axis=1, keepdims=True)
    return level / (np.linalg.norm(level) + 1e-9)
