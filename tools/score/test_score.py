#!/usr/bin/env python3
"""Tests of the scorer on sound whose truth is known: speech delayed, stepped, drifting, with holes."""
import unittest

import numpy as np
from scipy.signal import resample_poly

import delay
import rfactor
import sound
import speech
import words

RATE = sound.RATE
SPOKEN = resample_poly(speech.assemble("english")[:30 * speech.RATE], RATE, speech.RATE)
OTHER = resample_poly(speech.assemble("french")[:30 * speech.RATE], RATE, speech.RATE)


def late(samples, seconds):
    return np.concatenate([np.zeros(round(seconds * RATE)), samples])


def hole(samples, begin, end):
    holed = samples.copy()
    holed[round(begin * RATE):round(end * RATE)] = 0
    return holed


def track(heard, t0=0.0):
    return delay.track(SPOKEN, heard, RATE, t0, 1.5)


class Delay(unittest.TestCase):
    def test_a_constant_delay_is_found_everywhere(self):
        found = track(late(SPOKEN, 0.037))
        self.assertEqual(found.found, 1)
        np.testing.assert_allclose(found.delay, 0.037, atol=1e-4)

    def test_the_first_heard_sample_may_have_been_heard_later(self):
        np.testing.assert_allclose(track(SPOKEN, t0=0.25).delay, 0.25, atol=1e-4)

    def test_a_step_is_where_it_is(self):
        middle = 15 * RATE
        found = track(np.concatenate([late(SPOKEN[:middle], 0.03), np.zeros(round(0.08 * RATE)), SPOKEN[middle:]]))
        np.testing.assert_allclose(found.between(0, 14.5), 0.03, atol=1e-4)
        np.testing.assert_allclose(found.between(15, 29), 0.11, atol=1e-4)

    def test_a_drift_is_followed(self):
        found = track(late(resample_poly(SPOKEN, 5001, 5000), 0.02))
        np.testing.assert_allclose(found.delay, 0.02 + (found.spoken_at + 0.2) * 200e-6, atol=3e-4)

    def test_other_words_are_not_found(self):
        found = track(OTHER)
        self.assertTrue(found is None or found.found < 0.1)


class Heard(unittest.TestCase):
    def test_holes_are_counted_and_measured(self):
        heard = late(hole(SPOKEN, 10, 11), 0.04)
        spoken_there = sound.missing(SPOKEN, late(SPOKEN, 0.04), 0, track(heard))[0][1000:1100].sum()
        speech_frames, absent = sound.missing(SPOKEN, heard, 0, track(heard))
        self.assertGreater(spoken_there, 50)
        self.assertAlmostEqual(absent.sum(), spoken_there, delta=5)
        self.assertEqual(sound.missing(SPOKEN, late(SPOKEN, 0.04), 0, track(heard))[1].sum(), 0)
        self.assertLess(sound.longest_run(absent), 105)

    def test_the_longest_run_is_found(self):
        self.assertEqual(sound.longest_run(np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)), 3)
        self.assertEqual(sound.longest_run(np.zeros(4, bool)), 0)

    def test_words_played_late_and_faster_are_heard_and_other_words_are_not(self):
        faster = np.concatenate([SPOKEN[:10 * RATE], np.zeros(RATE // 2), resample_poly(SPOKEN[10 * RATE:], 19, 20)])
        self.assertGreater(words.heard_share(SPOKEN, faster, 0, 10, 13, 1.4), 90)
        self.assertLess(words.heard_share(SPOKEN, OTHER, 0, 2, 28, 1.4), 12)
        self.assertEqual(words.heard_share(SPOKEN, np.zeros_like(SPOKEN), 0, 10, 13, 1.4), 0)


class Sound(unittest.TestCase):
    def test_worse_sound_scores_less_and_every_run_alike(self):
        judges = sound.Judges()
        score = lambda heard: judges.scores(sound.blocks(SPOKEN, heard, 0, track(heard)))
        good, again = score(late(SPOKEN, 0.05)), score(late(SPOKEN, 0.05))
        holed = SPOKEN.copy()
        for begin in np.arange(0, 29.9, 0.2):
            holed[round(begin * RATE):round((begin + 0.02) * RATE)] = 0
        bad = score(late(holed, 0.05))
        self.assertEqual(good, again)
        self.assertEqual(len(good["pesq_blocks"]), 3)
        self.assertGreater(good["pesq"], 4.6)
        for measure in ("pesq", "plcmos", "estoi"):
            self.assertLess(bad[measure], good[measure] - 0.05, measure)


class RFactor(unittest.TestCase):
    def test_delay_costs_what_the_recommendation_says(self):
        for latency, points in ((100, 0), (150, 0.16), (200, 3.0), (250, 8.9), (300, 14.8), (400, 24.0)):
            linear = 0.024 * min(latency, 177.3)
            self.assertAlmostEqual(rfactor.delay_impairment(latency) / 1.48, points + linear, delta=0.3)

    def test_an_opinion_taken_back_and_forth_is_the_same(self):
        self.assertAlmostEqual(rfactor.sound_worth(4.5), 148, delta=0.1)
        # G.107 annex B: R 80 is an opinion of 4.03.
        self.assertAlmostEqual(rfactor.sound_worth(1 + 0.035 * 80 + 80 * 20 * 20 * 7e-6) / 1.48, 80, delta=0.01)
        self.assertLess(rfactor.r_factor(50, 3), rfactor.r_factor(50, 4))
        self.assertLess(rfactor.r_factor(250, 4), rfactor.r_factor(50, 4))
        self.assertIsNone(rfactor.r_factor(None, 4))


if __name__ == "__main__":
    unittest.main()
