"""The R factor of a heard file, on the fullband scale (0 to 148), from nothing but its measured delay and sound.

Delay impairs as the E-model says (ITU-T G.107 Idd and a small linear part below 177 ms, times 1.48). What the sound is worth
is its measured opinion score (PESQ or PLCMOS) taken back through the opinion curve of G.107 annex B. Receivers whose insides
cannot be looked into are so judged exactly as those whose insides can.
"""

import numpy as np

FULLBAND = 1.48
# The opinion curve rises from here on.
_R = np.linspace(6.52, 100, 20_000)
_OPINION = 1 + 0.035 * _R + _R * (_R - 60) * (100 - _R) * 7e-6


def delay_impairment(latency_ms):
    """Points of R that this mouth-to-ear delay costs."""
    steep = 0.0
    if latency_ms > 100:
        x = np.log2(latency_ms / 100)
        steep = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    return FULLBAND * (steep + 0.024 * min(max(latency_ms, 0), 177.3))


def sound_worth(opinion):
    """R of an opinion score of 1 to 4.5, without any delay."""
    return FULLBAND * float(np.interp(opinion, _OPINION, _R))


def r_factor(latency_ms, opinion):
    """R of 0 to 148, None where either was not measured."""
    if latency_ms is None or opinion is None:
        return None
    return max(sound_worth(opinion) - delay_impairment(latency_ms), 0.0)
