"""Pictures of docs/QUALITY.md. Equal results give equal files."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from curves import USED  # noqa: E402
from targets import Track  # noqa: E402

COLOURS = {"offhook": "#0b7a75", "neteq": "#d1495b", "gstreamer": "#edae49"}
LABELS = {"offhook": "Offhook", "neteq": "neteq crate", "gstreamer": "GStreamer"}
OVER_TIME = ("jitter_uniform_20", "bad_patch_5s", "wifi_stalls", "route_step_80", "handover_outage_400", "outage_1s")

plt.rcParams.update({
    "svg.hashsalt": "offhook", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "path.simplify_threshold": 0.5,
})


def draw(runs, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save(r_by_trace(runs), folder / "quality_r.svg")
    save(delay_over_time(runs), folder / "quality_delay.svg")
    save(sound_and_delay(runs), folder / "quality_sound.svg")


def save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # The drawing library ends lines with blanks.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def draw_curves(found, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save(sound_at_prices(found), folder / "quality_price.svg")


def sound_at_prices(found):
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, by, title in zip(axes, ("pesq", "plcmos"), ("PESQ-WB", "PLCMOS")):
        for condition, runs in found.items():
            scores = {price: result["score"] for price, result in runs.items() if result["score"].get("pesq")}
            line, = axis.plot([one["delay_mean"] for one in scores.values()], [one[by] for one in scores.values()],
                              marker="o", markersize=3, linewidth=1.2, label=condition)
            used = scores.get(str(USED))
            if used:
                axis.plot(used["delay_mean"], used[by], marker="o", markersize=9, fillstyle="none", color=line.get_color())
        axis.set_xlabel("mean delay, spoken to heard, ms")
        axis.set_ylabel(title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


def r_by_trace(runs):
    traces = list(runs["neteq"])
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.2), sharey=True, layout="constrained")
    for axis, by, title in zip(axes, ("r_pesq", "r_plcmos"), ("PESQ", "PLCMOS")):
        for n, (receiver, colour) in enumerate(COLOURS.items()):
            values = [runs[receiver][trace]["score"].get(by) or 0 for trace in traces]
            axis.barh(np.arange(len(traces)) + 0.27 * (n - 1), values, 0.27, color=colour, label=LABELS[receiver])
        axis.set_xlabel(f"R factor (0 to 148), sound judged by {title}")
    axes[0].set_yticks(range(len(traces)), traces)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def delay_over_time(runs):
    figure, axes = plt.subplots(3, 2, figsize=(10, 7.5), sharex=True, layout="constrained")
    for axis, trace in zip(axes.flat, OVER_TIME):
        for receiver, colour in COLOURS.items():
            at, delay = unbroken(Track(runs[receiver][trace]["track"]))
            axis.plot(at, delay, linewidth=1.2, color=colour, label=LABELS[receiver])
        axis.set_title(trace, loc="left")
        axis.set_ylim(bottom=0)
        axis.set_ylabel("delay, ms")
    for axis in axes[-1]:
        axis.set_xlabel("spoken at, s")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def unbroken(track):
    """Times and delays with a gap in the line where nothing was found for a second."""
    at, delay = list(track.at), list(track.delay.round(1))
    for n in reversed(np.flatnonzero(np.diff(track.at) > 1)):
        at.insert(n + 1, np.nan)
        delay.insert(n + 1, np.nan)
    return at, delay


def sound_and_delay(runs):
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for receiver, colour in COLOURS.items():
        scores = [result["score"] for result in runs[receiver].values() if result["score"].get("pesq")]
        axis.scatter([one["delay_mean"] for one in scores], [one["pesq"] for one in scores], color=colour, label=LABELS[receiver])
    axis.set_xlabel("mean delay, spoken to heard, ms (one point per trace)")
    axis.set_ylabel("PESQ-WB")
    axis.legend(frameon=False)
    return figure
