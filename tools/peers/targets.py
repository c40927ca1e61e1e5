"""What Offhook wants to reach on each kind of network, and whether it did."""

from dataclasses import dataclass
from typing import Callable

import numpy as np

# Of every delay: a packet is complete 20 ms after its first sample, and the codec looks 6.5 ms ahead.
PACKET_AND_CODEC_MS = 26.5


class Track:
    """Delay over time, from the scorer's CSV."""

    def __init__(self, path):
        self.at, self.delay, _ = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True, ndmin=2)

    def between(self, begin, end):
        return self.delay[(self.at >= begin) & (self.at < end)]

    def settled_after(self, begin, end, wanted, tolerance):
        """Seconds from `begin` until 95 % of what is said in the next 5 s is heard within `tolerance` of `wanted`; None if never."""
        for at in self.at[(self.at >= begin) & (self.at < end)]:
            if np.mean(self.between(at, at + 5) <= wanted + tolerance) >= 0.95:
                return at - begin
        return None


@dataclass
class Outcome:
    """What one set of runs showed."""

    measured: str
    met: bool


@dataclass
class Target:
    condition: str
    limit: str
    # From the runs of a set (condition to {"score", "run", "track", ...}) to the Outcome.
    judge: Callable

    def outcome(self, runs):
        """None where the set has no such run; what could not be aligned is not met."""
        if self.condition not in runs:
            return None
        if runs[self.condition]["score"].get("pesq") is None:
            return Outcome("could not be aligned", False)
        return self.judge(runs)


def at_most(value, limit):
    return value is not None and value <= limit


def at_least(value, limit):
    return value is not None and value >= limit


def bounds(trace, delay, pesq=None, plcmos=None):
    """Mean delay at most, PESQ and PLCMOS at least."""
    limit = [f"delay {delay} ms"] + [f"PESQ {pesq}"] * (pesq is not None) + [f"PLCMOS {plcmos}"] * (plcmos is not None)

    def judge(runs):
        score = runs[trace]["score"]
        parts = [f"{score['delay_mean']:.1f} ms"]
        met = at_most(score["delay_mean"], delay)
        for name, wanted in (("pesq", pesq), ("plcmos", plcmos)):
            if wanted is not None:
                parts.append(f"{score[name]:.2f}")
                met = met and at_least(round(score[name], 2), wanted)
        return Outcome(", ".join(parts), met)

    return Target(trace, ", ".join(limit), judge)


def over_path(track):
    """Mean delay of the handover over path, packet and codec, from 2 s after each of its two changes."""
    return [np.mean(track.between(begin, end)) - path - PACKET_AND_CODEC_MS for begin, end, path in ((22, 39.5, 160), (42, 59, 60))]


def handover(runs):
    one = runs["handover_outage_400"]
    over = over_path(one["track"])
    opinion = one["score"]["plcmos"]
    met = max(over) <= 20 and at_least(round(opinion, 2), 4.2)
    return Outcome(f"+{over[0]:.1f} and +{over[1]:.1f} ms, {opinion:.2f}", met)


def outage(runs):
    seen = runs["outage_1s"]["outages"]
    live = [float("inf") if one["live_s"] is None else one["live_s"] for one in seen]
    words = [one["heard_percent"] for one in seen if one["heard_percent"] is not None]
    met = np.mean(live) <= 1.5 and np.mean(words) >= 80
    return Outcome(f"{np.mean(live):.1f} s (at most {max(live):.1f}), {np.mean(words):.0f} %", met)


def bad_patch(runs):
    track = runs["bad_patch_5s"]["track"]
    # What this network costs while it is good.
    optimum = np.median(track.between(5, 14.5))
    settled = track.settled_after(20, 59, optimum, 5)
    return Outcome(seconds(settled), at_most(settled, 2))


def route_step(runs):
    one = runs["route_step_80"]
    track = one["track"]
    before = np.median(track.between(10, 19.5))
    most = track.between(20, 40).max() - before
    settled = track.settled_after(20, 40, np.median(track.between(30, 39.5)), 5)
    silence = one["score"]["longest_not_heard_ms"]
    met = most <= 100 and at_most(settled, 1) and silence <= 40
    return Outcome(f"+{most:.0f} ms, {seconds(settled)}, {silence} ms", met)


def drift(trace, ppm):
    def judge(runs):
        one = runs[trace]
        track = one["track"]
        # The receiver's clock is off by so much: what is left is the receiver's doing.
        rest = (track.delay - track.at * ppm * 1e-3)[track.at > 2]
        # One window in thirty or so is found off by the repetitions of a voice.
        ripple = float(np.percentile(rest, 97.5) - np.percentile(rest, 2.5))
        stretched = one["run"]["time_ms"]["accelerated"] + one["run"]["time_ms"]["expanded"]
        pesq = one["score"]["pesq"]
        met = ripple <= 4 and stretched == 0 and at_least(round(pesq, 2), 4.3)
        return Outcome(f"±{ripple / 2:.1f} ms, {stretched:.0f} ms, {pesq:.2f}", met)

    return Target(trace, "delay ±2 ms, stretched 0 ms, PESQ 4.3", judge)


def seconds(value):
    return "never" if value is None else f"{value:.1f} s"


TARGETS = [
    bounds("clean", 35, 4.3),
    bounds("clean, 10 ms packets", 25, 4.3),
    bounds("lan", 35, 4.3),
    bounds("lan, 10 ms packets", 25, 4.3),
    bounds("jitter_uniform_20", 60, 4.3),
    bounds("jitter_mild", 50, 4.2),
    bounds("wifi_stalls", 140, 2.9, 3.9),
    bounds("loss_10", 60, 3.6, 4.15),
    bounds("loss_20", 90, 3.2, 4.0),
    bounds("loss_30_bursty", 150, 2.3, 3.3),
    bounds("loss_10_jitter_20", 90, 3.6),
    Target("handover_outage_400", "+20 ms over path, packet and codec 2 s after each change, PLCMOS 4.2", handover),
    Target("outage_1s", "live again within 1.5 s, 80 % of the lost words heard", outage),
    Target("bad_patch_5s", "within 5 ms of the delay before it within 2 s", bad_patch),
    Target("route_step_80", "never over +100 ms, settled within 1 s, no silence over 40 ms", route_step),
    drift("drift_plus_200ppm", 200),
    drift("drift_minus_200ppm", -200),
    drift("drift_plus_200ppm, one hour", 200),
    drift("drift_minus_200ppm, one hour", -200),
]
