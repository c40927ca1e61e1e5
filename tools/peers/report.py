#!/usr/bin/env python3
"""Writes the tables and pictures of docs/QUALITY.md from the results of a run.

Usage: report.py target/peers/results.json docs/QUALITY.md
Only what stands between `<!-- peers: NAME -->` and `<!-- end of NAME -->` is replaced.
"""
import json
import pathlib
import sys

TOOLS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOOLS), str(TOOLS / "score")]

import curves  # noqa: E402
import pages  # noqa: E402
import plots  # noqa: E402
import targets  # noqa: E402

RECEIVERS = ("offhook", "neteq", "gstreamer")
TITLES = {"offhook": "Offhook", "neteq": "`neteq` crate 0.9.1", "gstreamer": "GStreamer"}
# Points of R that mean something: less than this is a tie.
TIE = 0.5


def number(value, decimals):
    return "-" if value is None else f"{value:.{decimals}f}"


def cell(result):
    heard = result["score"]
    return " / ".join([
        f"{number(heard.get('delay_mean'), 0)}, {number(heard.get('delay_p95'), 0)}",
        number(heard.get("pesq"), 2), number(heard.get("plcmos"), 2), number(heard.get("not_heard_percent"), 1),
    ])


def table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + "---|" * len(heading)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def compared(runs):
    """One row per trace: delay mean and p95 / PESQ / PLCMOS / percent not heard."""
    rows = [[trace] + [cell(runs[receiver][trace]) for receiver in RECEIVERS] for trace in runs["neteq"]]
    return table(["delay mean, p95 ms / PESQ / PLCMOS / not heard %"] + [TITLES[receiver] for receiver in RECEIVERS], rows)


def r_factors(runs):
    """One row per trace: R by PESQ and by PLCMOS, and how far Offhook is ahead of the better of the two others."""
    rows = []
    for trace in runs["neteq"]:
        row = [trace]
        for by in ("r_pesq", "r_plcmos"):
            values = [runs[receiver][trace]["score"].get(by) for receiver in RECEIVERS]
            row += [number(value, 1) for value in values] + [f"{margin(values):+.1f}"]
        rows.append(row)
    names = ["Offhook", "neteq", "GStreamer", "ahead"]
    return table(["", *(f"PESQ: {name}" for name in names), *(f"PLCMOS: {name}" for name in names)], rows)


def margin(values):
    own, *others = (0.0 if value is None else value for value in values)
    return own - max(others)


def standing(results, names):
    """How often Offhook is ahead, in words."""
    lines = []
    for by, title in (("r_pesq", "PESQ"), ("r_plcmos", "PLCMOS")):
        margins = {
            f"{trace} ({name})": margin([results[name][receiver][trace]["score"].get(by) for receiver in RECEIVERS])
            for name in names
            for trace in results[name]["neteq"]
        }
        ahead = sum(value > TIE for value in margins.values())
        least = min(margins, key=margins.get)
        behind = [f"{where} by {-value:.1f}" for where, value in margins.items() if value < -TIE]
        lines.append(
            f"* R by {title}: ahead of both on {ahead} of {len(margins)} traces, least on {least} ({margins[least]:+.1f})"
            + (f"; behind on {', '.join(behind)}." if behind else ".")
        )
    return "\n".join(lines)


def judged(results):
    """The targets, one column per set; what was not met is marked."""
    prepared = {name: with_tracks(receivers["offhook"]) for name, receivers in results.items()}
    rows, met, all_of_them = [], 0, 0
    for target in targets.TARGETS:
        row = [target.condition, target.limit]
        for runs in prepared.values():
            outcome = target.outcome(runs)
            if outcome is None:
                row.append("-")
                continue
            row.append(outcome.measured if outcome.met else f"{outcome.measured} **not met**")
            met, all_of_them = met + outcome.met, all_of_them + 1
        rows.append(row)
    return f"{met} of {all_of_them} met.\n\n" + table(["condition", "limit", *prepared], rows)


def with_tracks(runs):
    return {name: run | {"track": targets.Track(run["track"])} for name, run in runs.items() if pathlib.Path(run["track"]).exists()}


def spent(results):
    """What Offhook sent, and how what was heard came about, mean over the sets."""
    kinds = ("red", "fec", "dred", "concealed", "comfort_noise", "skipped", "accelerated", "expanded")
    sets = [receivers["offhook"] for receivers in results.values()]
    mean = lambda values: sum(values) / len(values)
    rows = []
    for trace in sets[0]:
        runs = [runs[trace]["run"] for runs in sets if trace in runs]
        rates = [mean([run[rate] for run in runs]) / 1000 for rate in ("payload_bps", "wire_bps")]
        times = [mean([run["time_ms"].get(kind) or 0.0 for run in runs]) for kind in kinds]
        rows.append([trace, *(number(rate, 1) for rate in rates), *(number(time, 0) for time in times),
                     number(mean([run["cpu_s"] for run in runs]), 2)])
    heading = ["", "payload kb/s", "with headers kb/s", "RED ms", "in-band FEC ms", "DRED ms", "made up ms",
               "comfort noise ms", "skipped ms", "taken out ms", "put in ms", "CPU s"]
    return table(heading, rows)


def at_prices(found):
    """One row per condition, one column per price of delay."""
    rows = []
    for condition, runs in found.items():
        cells = []
        for result in runs.values():
            heard = result["score"]
            figures = [f"{number(heard.get('delay_mean'), 0)} ms", number(heard.get("pesq"), 2), number(heard.get("plcmos"), 2)]
            if condition == "handover_outage_400":
                over = targets.over_path(targets.Track(result["track"]))
                figures[0] = f"+{over[0]:.0f}, +{over[1]:.0f} ms"
            cells.append(" / ".join(figures))
        rows.append([condition, *cells])
    return table(["ms for a percent"] + [f"**{price}**" if price == curves.USED else str(price) for price in curves.PRICES], rows)


def circumstances(figures):
    lines = [f"Sets: {', '.join(figures['sets'])}; the others ran on {', '.join(figures['compared']) or 'none'}."]
    if figures["flags"]:
        lines.append(f"Flags of `offhook simulate`: `{' '.join(figures['flags'])}`.")
    lines.append(
        "Runs that woke up more than 10 ms late, to be made again: " + "; ".join(figures["late"]) + "."
        if figures["late"] else "No run woke up more than 10 ms late."
    )
    heading = ["set", "PLCMOS of the speech itself"]
    rows = [[name, number(one["plcmos"], 2)] for name, one in figures["itself"].items()]
    return " ".join(lines) + "\n\n" + table(heading, rows)


def blocks(figures):
    results, names = figures["results"], figures["compared"]
    found = {"circumstances": circumstances(figures), "targets": judged(results), "spent": spent(results)}
    if figures["curves"]:
        found["curves"] = at_prices(figures["curves"])
    if names:
        found["standing"] = standing(results, names)
        found["compared"] = "\n\n".join(f"### {name}\n\n{compared(results[name])}" for name in names)
        found["r"] = "\n\n".join(f"### {name}\n\n{r_factors(results[name])}" for name in names)
    return found


def write(figures, page):
    for name, block in blocks(figures).items():
        pages.replace(page, f"<!-- peers: {name} -->", f"<!-- end of {name} -->", block)
    if figures["curves"]:
        plots.draw_curves(figures["curves"], page.parent / "images")
    if figures["compared"]:
        plots.draw(figures["results"][figures["compared"][0]], page.parent / "images")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2]))
