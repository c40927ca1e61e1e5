"""Delay against sound where a limit of docs/QUALITY.md is near or missed: the same network at other prices of delay."""

import run_set

# `offhook simulate --loss-price`: milliseconds of delay for one percent of made-up sound. 46 is what calls use.
PRICES = (8, 16, 30, 46, 70, 110, 180)
USED = 46
# What a run of these is called among those of the receivers.
RESULT = "curves"
CONDITIONS = ("jitter_mild", "wifi_stalls", "loss_30_bursty", "handover_outage_400")


def tasks(options, one):
    """(condition, price, function, arguments) of everything that is played and scored."""
    for condition in CONDITIONS:
        for price in PRICES:
            yield condition, price, play, (options.offhook, one, condition, price, options.flags)


def play(binary, one, condition, price, flags):
    out = one.folder / "curves"
    out.mkdir(exist_ok=True)
    name = f"{condition}, price {price}"
    heard = out / f"{name}.wav"
    run = run_set.simulate(binary, one.folder / "traces" / f"{condition}.csv", one.speech, heard, [*flags, "--loss-price", str(price)])
    return {"run": run, "score": run_set.judge(one.speech, heard, out, name), "track": str(out / f"{name}.track.csv")}


def by_condition(results):
    """Results by (condition, price) as condition to price to result, prices as text: they go into JSON."""
    return {
        condition: {str(price): results[condition, price] for price in PRICES if (condition, price) in results}
        for condition in CONDITIONS
        if any(found == condition for found, _ in results)
    }
