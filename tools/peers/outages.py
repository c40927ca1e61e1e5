"""What is heard of a lost second of speech, and when the call is live again: of several seconds, because one holds too few words to tell."""

import numpy as np

import run_set
import score
import targets
import words

# The outage of `outage_1s` begins and ends here, in seconds; later than this nothing of it is to be seen.
BEGIN_S, END_S, ENOUGH_S = 25, 26, 32
# So much further on in the speech is what falls into it, each time.
TURN_S, TURNS = 6, 8
# Later than this no word of it is played.
LONGEST_S = 1.4
# The delay is that from before again within so many milliseconds.
LIVE_MS = 10


def played(binary, trace, speech, out, flags):
    """One outcome per turn: `live_s` (None: never) and `heard_percent` (None: nobody spoke in that second)."""
    samples, rate = score.soundfile.read(speech)
    outcomes = []
    for turn in range(TURNS):
        name = f"outage-{turn}"
        spoken, heard = out / f"{name}.spoken.wav", out / f"{name}.wav"
        turned = np.roll(samples, -turn * TURN_S * rate)[: ENOUGH_S * rate]
        score.soundfile.write(spoken, turned, rate, subtype="PCM_16")
        run_set.simulate(binary, trace, spoken, heard, flags)
        run_set.judge(spoken, heard, out, name, opinion=False)
        outcomes.append(outcome(spoken, heard, out / f"{name}.track.csv"))
    return outcomes


def outcome(spoken, heard, track_path):
    track = targets.Track(track_path)
    before = np.median(track.between(10, BEGIN_S - 0.5))
    return {
        "live_s": track.settled_after(END_S, ENOUGH_S - 1, before, LIVE_MS),
        "heard_percent": words.heard_share(score.load(spoken), score.load(heard), 0, BEGIN_S, END_S, LONGEST_S),
    }
