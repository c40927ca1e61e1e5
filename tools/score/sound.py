"""How good the heard speech is: PESQ, PLCMOS, ESTOI over blocks, and what was not heard at all."""

import os
import sys

import numpy as np

RATE = 16_000
BLOCK_S = 10
LEAST_BLOCK_S = 6
# Speech is what is louder than this, dBFS over 10 ms.
SPEECH_DB = -45
# Not heard: this much quieter than it was spoken.
MISSING_DB = 25
GREATEST_GAIN = 4


def blocks(spoken, heard, t0, delays):
    """(spoken, heard) of each 10 s, the heard part shifted by the median delay of its block and brought to the spoken
    level. Blocks in which nothing could be aligned are left out."""
    for begin in range(0, len(spoken) // RATE // BLOCK_S * BLOCK_S, BLOCK_S):
        found = delays.between(begin, begin + BLOCK_S)
        if len(found) < 3:
            continue
        first = round((begin - t0 + np.median(found)) * RATE)
        length = min(BLOCK_S * RATE, len(heard) - first)
        if first < 0 or length < min(BLOCK_S, LEAST_BLOCK_S) * RATE:
            continue
        said, got = spoken[begin * RATE:][:length], heard[first:first + length]
        gain = np.sqrt(np.mean(said**2) / (np.mean(got**2) + 1e-12))
        yield said, np.clip(got * min(gain, GREATEST_GAIN), -1, 1)


def missing(spoken, heard, t0, delays):
    """For each 10 ms: whether it is speech, and whether it is speech of which, at its delay, nothing is heard."""
    frame, around = RATE // 100, RATE // 200
    times = np.arange(0, len(spoken) / RATE - 0.02, 0.01)
    speech, absent = np.zeros(len(times), bool), np.zeros(len(times), bool)
    for n, at in enumerate(times):
        there = int((at - t0 + delays.at(at)) * RATE)
        if there < 0 or there + frame > len(heard):
            continue
        level = decibels(spoken[int(at * RATE):][:frame])
        speech[n] = level > SPEECH_DB
        heard_level = decibels(heard[max(0, there - around):there + frame + around])
        absent[n] = speech[n] and heard_level < level - MISSING_DB
    return speech, absent


def longest_run(flags):
    """Length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return int(max(edges[1::2] - edges[::2], default=0))


def decibels(samples):
    return 10 * np.log10(np.mean(samples**2) + 1e-12)


class Judges:
    """The three measures, loaded once per process."""

    def __init__(self, opinion=True):
        import pesq
        import pystoi

        self._pesq, self._estoi = pesq, pystoi.stoi
        self._plcmos = plcmos() if opinion else None

    def scores(self, pairs):
        """Means over the blocks, and the blocks' own values; None where nothing could be judged."""
        pesq, estoi, opinion = [], [], []
        # PLCMOS draws its listeners at random: always the same ones, so that a file has one score.
        np.random.seed(1)
        for said, got in pairs:
            try:
                pesq.append(self._pesq.pesq(RATE, said, got, "wb"))
            except self._pesq.PesqError as error:
                print(f"a block could not be judged by PESQ: {error}", file=sys.stderr)
            estoi.append(self._estoi(said, got, RATE, extended=True))
            if self._plcmos:
                opinion.append(self._opinion(got))
        mean = lambda values: float(np.mean(values)) if values else None
        return {
            "pesq": mean(pesq), "pesq_worst": min(pesq, default=None), "pesq_blocks": pesq,
            "plcmos": mean(opinion), "plcmos_blocks": opinion, "estoi": mean(estoi),
        }

    def _opinion(self, heard):
        return float(self._plcmos.get_mos(heard.astype(np.float32)))


def plcmos():
    """PLCMOS v2 on one thread, so that several files can be judged at once."""
    import onnxruntime
    from speechmos.plcmos import PLCMOS

    judge = PLCMOS()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    path = judge.model_path
    assert os.path.exists(path), path
    judge.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return judge
