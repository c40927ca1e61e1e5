//! The plots of a run on the stand. Time is that of hearing: the receiver's clock.

use std::collections::VecDeque;
use std::time::Duration;

use offhook_media_core::recv::Taken;

use super::charts::{peak, wave_from};
use super::data::Envelope;
use super::plot::{Plot, ticks};
use crate::SAMPLE_RATE;
use crate::stand::{Run, SentPacket, SoundKind, Tick};

/// The wanted delay counts from the fastest packets of so long before, in microseconds.
const FASTEST_OF: i64 = 10_000_000;
/// A delay plot reaches so far above the largest delay but for a few.
const HEADROOM: f64 = 1.15;
const LEAST_DELAY_AXIS_MS: f64 = 60.0;
/// Points of a line: two per unit of the plot's width.
const MOST_POINTS: usize = 2000;
const COLUMNS: usize = 900;
const LANE: f64 = 15.0;

/// A run with what the plots need of it.
pub(super) struct Drawing<'a> {
    pub(super) run: &'a Run,
    pub(super) speech: &'a [f32],
    /// The delay with which each packet would be heard if it were played when it came, in milliseconds; `None` when lost.
    offsets: Vec<Option<f64>>,
    /// The same of the fastest packets before each pull.
    fastest: Vec<Option<f64>>,
    highest: f64,
    lanes: Vec<Lane>,
}

/// A row of events.
struct Lane {
    class: &'static str,
    name: &'static str,
    hint: &'static str,
    /// Begin, length in microseconds, samples.
    events: Vec<(i64, i64, u64)>,
}

impl<'a> Drawing<'a> {
    pub(super) fn of(run: &'a Run, speech: &'a [f32]) -> Self {
        let lookahead = run.lookahead.unwrap_or_default().as_secs_f64() * 1e3;
        let offset =
            |packet: &SentPacket| Some(packet.arrival? as f64 / 1e3 - packet.start as f64 / 48.0 + lookahead);
        let offsets: Vec<Option<f64>> = run.packets.iter().map(offset).collect();
        let delays = run.ticks.iter().filter_map(Tick::delay_ms).chain(offsets.iter().copied().flatten());
        let mut delays: Vec<f64> = delays.collect();
        delays.sort_by(f64::total_cmp);
        let high = delays.get(delays.len().saturating_sub(delays.len() / 500 + 1)).copied().unwrap_or(0.0);
        let fastest = fastest(run, &offsets);
        let lanes = lanes(run).into_iter().filter(|lane| !lane.events.is_empty()).collect();
        Self { run, speech, offsets, fastest, highest: (high * HEADROOM).max(LEAST_DELAY_AXIS_MS), lanes }
    }

    /// All plots of a part of the run.
    pub(super) fn part(&self, times: (Duration, Duration)) -> String {
        self.delays(times) + &self.events(times) + &self.waves(times)
    }

    /// Packets, wanted and played delay.
    fn delays(&self, times: (Duration, Duration)) -> String {
        let mut plot = Plot::between("Delay over time", 230.0, times, 0.0, self.highest);
        plot.value_axis(&ticks(self.highest, 5), "ms");
        for (class, is_late) in [("packet", false), ("late", true)] {
            let packets = self.run.packets.iter().zip(&self.offsets);
            let places = packets.filter_map(|(packet, offset)| {
                let arrival = time(packet.arrival?).filter(|at| within(*at, times))?;
                let place = (plot.x(arrival), plot.y((*offset)?));
                ((packet.taken == Some(Taken::Late)) == is_late).then_some(place)
            });
            let places: Vec<(f64, f64)> = places.collect();
            plot.specks(class, places.into_iter());
        }
        self.line(&mut plot, "wanted", times, |n, tick| {
            Some(self.fastest[n]? + tick.target?.as_secs_f64() * 1e3)
        });
        self.line(&mut plot, "played", times, |_, tick| tick.delay_ms());
        plot.into_svg()
    }

    /// A line through a value of every pull, broken where there is none.
    fn line(
        &self,
        plot: &mut Plot,
        class: &str,
        times: (Duration, Duration),
        value: impl Fn(usize, &Tick) -> Option<f64>,
    ) {
        let all: Vec<(usize, &Tick)> = self
            .run
            .ticks
            .iter()
            .enumerate()
            .filter(|(_, tick)| time(tick.at).is_some_and(|at| within(at, times)))
            .collect();
        let step = all.len().div_ceil(MOST_POINTS).max(1);
        let points: Vec<Option<(f64, f64)>> = all
            .iter()
            .step_by(step)
            .map(|(n, tick)| Some((plot.x(time(tick.at)?), plot.y(value(*n, tick)?))))
            .collect();
        for run in points.chunk_by(|a, b| a.is_some() == b.is_some()).filter(|run| run[0].is_some()) {
            plot.path(class, run.iter().copied().flatten(), false);
        }
    }

    /// What was not simply decoded.
    fn events(&self, times: (Duration, Duration)) -> String {
        if self.lanes.is_empty() {
            return String::new();
        }
        let height = LANE * self.lanes.len() as f64 + 34.0;
        let mut plot = Plot::between("Events over time", height, times, 0.0, 1.0);
        for (row, lane) in self.lanes.iter().enumerate() {
            let top = 9.0 + LANE * row as f64;
            plot.text("", (56.0, top + 10.0), "end", lane.name);
            for (begin, length, samples) in &lane.events {
                let (Some(from), Some(to)) = (time(*begin), time(begin + length)) else { continue };
                if to < times.0 || from > times.1 {
                    continue;
                }
                let hint =
                    format!("{} {:.1} ms at {:.3} s", lane.hint, *samples as f64 / 48.0, from.as_secs_f64());
                plot.band(lane.class, (from, to), (top, top + LANE - 3.0), &hint);
            }
        }
        plot.into_svg()
    }

    /// What was spoken above what was heard.
    fn waves(&self, times: (Duration, Duration)) -> String {
        let part = |sound: &[f32]| {
            let index =
                |at: Duration| ((at.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize).min(sound.len());
            Envelope::of(&sound[index(times.0)..index(times.1)], COLUMNS)
        };
        let (spoken, heard) = (part(self.speech), part(&self.run.heard));
        let loudest = peak(&spoken).max(peak(&heard)).max(1e-4);
        let mut plot = Plot::between("Waveforms spoken and heard", 190.0, times, -3.0, 1.0);
        for (name, envelope, centre) in [("spoken", &spoken, 0.0), ("heard", &heard, -2.0)] {
            wave_from(&mut plot, name, (envelope, times.0), centre, loudest);
            let y = plot.y(centre) + 4.0;
            plot.text("name", (54.0, y), "end", name);
        }
        plot.into_svg()
    }

    /// Names and classes of the lanes that are drawn.
    pub(super) fn legend(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.lanes.iter().map(|lane| (lane.class, lane.hint))
    }
}

/// The least offset of the packets of the last seconds, at every pull.
fn fastest(run: &Run, offsets: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut arrivals: Vec<(i64, f64)> = run
        .packets
        .iter()
        .zip(offsets)
        .filter_map(|(packet, offset)| Some((packet.arrival?, (*offset)?)))
        .collect();
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    let mut arrivals = arrivals.into_iter().peekable();
    // Ever larger offsets: none that is later and less is behind one of them.
    let mut candidates: VecDeque<(i64, f64)> = VecDeque::new();
    let least = |tick: &Tick| {
        while let Some(next) = arrivals.next_if(|(arrival, _)| *arrival <= tick.at) {
            while candidates.back().is_some_and(|(_, offset)| *offset >= next.1) {
                candidates.pop_back();
            }
            candidates.push_back(next);
        }
        while candidates.front().is_some_and(|(arrival, _)| *arrival < tick.at - FASTEST_OF) {
            candidates.pop_front();
        }
        candidates.front().map(|(_, offset)| *offset)
    };
    run.ticks.iter().map(least).collect()
}

fn lanes(run: &Run) -> Vec<Lane> {
    let packets = |is_it: fn(&SentPacket) -> bool, when: fn(&SentPacket) -> i64| {
        let packets = run.packets.iter().filter(|packet| is_it(packet));
        packets.map(|packet| (when(packet), 0, u64::from(packet.samples))).collect()
    };
    let kinds = [
        (SoundKind::Red, "red", "RED", "exact copy played"),
        (SoundKind::Fec, "fec", "FEC", "coarse copy played"),
        (SoundKind::Dred, "dred", "DRED", "deep redundancy played"),
        (SoundKind::Concealed, "concealed", "made up", "made up"),
        (SoundKind::ComfortNoise, "pause", "pause", "pause"),
        (SoundKind::Accelerated, "accelerated", "shorter", "taken out"),
        (SoundKind::Expanded, "expanded", "longer", "put in"),
        (SoundKind::Skipped, "gap", "skipped", "skipped"),
    ];
    let lost = packets(|packet| packet.arrival.is_none(), |packet| packet.left);
    let late = packets(|packet| packet.taken == Some(Taken::Late), |packet| packet.arrival.unwrap_or(0));
    let mut lanes = vec![
        Lane { class: "lost", name: "lost", hint: "packet lost", events: lost },
        Lane { class: "late", name: "late", hint: "packet too late", events: late },
    ];
    lanes.extend(kinds.map(|(kind, class, name, hint)| Lane {
        class,
        name,
        hint,
        events: stretches(run, kind),
    }));
    lanes
}

/// Pulls in a row that have something of a kind, each as one event.
fn stretches(run: &Run, kind: SoundKind) -> Vec<(i64, i64, u64)> {
    let rows = run.ticks.chunk_by(|a, b| (a.samples(kind) > 0) == (b.samples(kind) > 0));
    rows.filter(|row| row[0].samples(kind) > 0)
        .map(|row| {
            let samples = row.iter().map(|tick| u64::from(tick.samples(kind))).sum();
            (row[0].at, samples as i64 * 125 / 6, samples)
        })
        .collect()
}

fn time(micros: i64) -> Option<Duration> {
    u64::try_from(micros).ok().map(Duration::from_micros)
}

fn within(at: Duration, (from, to): (Duration, Duration)) -> bool {
    (from..=to).contains(&at)
}
