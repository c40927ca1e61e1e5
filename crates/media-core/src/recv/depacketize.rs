//! Where a packet belongs in the stream, whatever its header says.

use crate::jitter::{SeenWindow, Unwrapper};
use crate::units::MediaTime;

/// Timestamps off by less than this are where the sequence number puts them: 2.5 ms.
const WOBBLE: i64 = 120;
/// Media time may fall behind the clock by so much before a packet has to prove itself: 2 s.
const MOST_JUMP: i64 = 96_000;
/// It may run ahead of the clock by so much: half a second. More would let one packet make all others late.
const MOST_AHEAD: i64 = 24_000;
/// Sequence numbers may leap by so much.
const MOST_SEQUENCE_JUMP: i64 = 3000;
/// Those of packets without sound by so many: less than what is remembered of numbers, more than a long row of keys.
const MOST_SOUNDLESS_JUMP: i64 = 1000;
/// So many consistent packets in a row make a new stream.
const PROOF: u32 = 3;

/// A packet off the network, decrypted, header parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncomingPacket<'a> {
    /// When it came, on the engine's clock, as close to the wire as can be had.
    pub arrival: MediaTime,
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP marker bit.
    pub marker: bool,
    /// RTP synchronization source.
    pub ssrc: u32,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// RTP payload.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits to be played.
    Waiting,
    /// Its time was over.
    Late,
    /// It is here already.
    Duplicate,
    /// It cannot be used: unknown payload type, or no Opus packet.
    Discarded,
    /// It jumps in time or names another source: only the third consistent one in a row is believed.
    OnProbation,
    /// It reported a key.
    Event,
    /// It carried nothing: padding, by which a sender finds out what the network takes.
    Padding,
}

/// Extended sequence number and media time of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: i64,
    pub(super) timestamp: i64,
}

/// Whether a packet is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Probation,
    Repeated,
    NewStream(Place),
    Member(Place),
}

/// How a packet fits the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Member(Place),
    /// It follows in number and media time, but the sender stood still in between: its time starts anew.
    Resumes,
    Strange,
}

/// The stream that is believed, and the one that is on probation.
#[derive(Debug, Default)]
pub(super) struct Stream {
    member: Option<Member>,
    probation: Option<Probation>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    ssrc: u32,
    sequence: Unwrapper<16>,
    timestamp: Unwrapper<32>,
    seen: SeenWindow,
    newest: Newest,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    place: Place,
    /// Its timestamp before it was put in line.
    wire: i64,
    samples: i64,
    arrival: MediaTime,
}

#[derive(Debug, Clone, Copy)]
struct Probation {
    ssrc: u32,
    next_sequence: u16,
    next_timestamp: u32,
    count: u32,
}

impl Stream {
    /// Finds the place of a packet with `samples` samples.
    pub(super) fn admit(&mut self, packet: &IncomingPacket<'_>, samples: i64) -> Admission {
        let Some(member) = self.member.as_mut().filter(|member| member.ssrc == packet.ssrc) else {
            return if self.member.is_none() {
                self.begin(packet, samples)
            } else {
                self.prove(packet, samples)
            };
        };
        match member.place(packet, samples) {
            // What was heard once proves nothing and teaches nothing.
            Fit::Member(place) if !member.seen.insert(place.sequence) => Admission::Repeated,
            Fit::Member(place) => {
                self.probation = None;
                Admission::Member(place)
            }
            Fit::Resumes => self.begin(packet, samples),
            Fit::Strange => self.prove(packet, samples),
        }
    }

    /// A packet of the stream that is not sound, such as a key: its number is not missing. `None` when it is not news.
    pub(super) fn admit_soundless(&mut self, packet: &IncomingPacket<'_>) -> Option<i64> {
        let member = self.member.as_mut().filter(|member| member.ssrc == packet.ssrc)?;
        let sequence = member.sequence.peek(packet.sequence.into());
        let steps = sequence - member.newest.place.sequence;
        (steps.abs() <= MOST_SOUNDLESS_JUMP && member.seen.insert(sequence)).then_some(sequence)
    }

    /// The RTP timestamp of a moment of the stream's media time; `None` before the first packet.
    pub(super) fn wire_timestamp(&self, media_time: i64) -> Option<u32> {
        let newest = self.member.as_ref()?.newest;
        Some((newest.wire - newest.place.timestamp + media_time) as u32)
    }

    fn begin(&mut self, packet: &IncomingPacket<'_>, samples: i64) -> Admission {
        let (mut sequence, mut timestamp) = (Unwrapper::default(), Unwrapper::default());
        let wire = timestamp.accept(packet.timestamp);
        // Media time starts with the stream, so that nothing depends on where the sender's numbers start.
        let place = Place { sequence: sequence.accept(packet.sequence.into()), timestamp: 0 };
        let newest = Newest { place, wire, samples, arrival: packet.arrival };
        let seen = SeenWindow::starting_with(place.sequence);
        self.member = Some(Member { ssrc: packet.ssrc, sequence, timestamp, seen, newest });
        self.probation = None;
        Admission::NewStream(place)
    }

    fn prove(&mut self, packet: &IncomingPacket<'_>, samples: i64) -> Admission {
        let count = match self.probation {
            Some(probation) if probation.expects(packet) => probation.count + 1,
            _ => 1,
        };
        if count >= PROOF {
            return self.begin(packet, samples);
        }
        self.probation = Some(Probation {
            ssrc: packet.ssrc,
            next_sequence: packet.sequence.wrapping_add(1),
            next_timestamp: packet.timestamp.wrapping_add(samples as u32),
            count,
        });
        Admission::Probation
    }
}

impl Member {
    fn place(&mut self, packet: &IncomingPacket<'_>, samples: i64) -> Fit {
        let newest = self.newest;
        let sequence = self.sequence.peek(packet.sequence.into());
        let wire = self.timestamp.peek(packet.timestamp);
        let steps = sequence - newest.place.sequence;
        if steps.abs() > MOST_SEQUENCE_JUMP {
            return Fit::Strange;
        }
        let step = if steps > 0 { newest.samples } else { samples };
        let expected = newest.place.timestamp + steps * step;
        let claimed = newest.place.timestamp + wire - newest.wire;
        let in_line = (claimed - expected).abs() < WOBBLE.min(samples.min(newest.samples) / 2 + 1);
        let timestamp = if in_line { expected } else { claimed };
        let moved = timestamp - newest.place.timestamp;
        let passed = packet.arrival.micros_since(newest.arrival).saturating_mul(6) / 125;
        let is_believed = (in_line && steps <= 0) || Self::plausible(steps, moved, passed);
        if !is_believed {
            let resumes = in_line && passed - moved > MOST_JUMP;
            return if resumes { Fit::Resumes } else { Fit::Strange };
        }
        let place = Place { sequence, timestamp };
        if steps > 0 {
            self.sequence.accept(packet.sequence.into());
            self.timestamp.accept(packet.timestamp);
            self.newest = Newest { place, wire, samples, arrival: packet.arrival };
        }
        Fit::Member(place)
    }

    /// A pause or a loss moves media time forward as the clock does; what comes out of order lies a little back.
    fn plausible(steps: i64, moved: i64, passed: i64) -> bool {
        match steps {
            0 => moved == 0,
            1.. => moved > 0 && (-MOST_JUMP..=MOST_AHEAD).contains(&(moved - passed)),
            _ => (-MOST_JUMP..0).contains(&moved),
        }
    }
}

impl Probation {
    fn expects(&self, packet: &IncomingPacket<'_>) -> bool {
        let off = packet.timestamp.wrapping_sub(self.next_timestamp) as i32;
        self.ssrc == packet.ssrc && self.next_sequence == packet.sequence && i64::from(off).abs() < WOBBLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(millis: i64, ssrc: u32, sequence: u16, timestamp: u32) -> IncomingPacket<'static> {
        let arrival = MediaTime::from_micros(millis * 1000);
        IncomingPacket { arrival, payload_type: 111, marker: false, ssrc, sequence, timestamp, payload: &[] }
    }

    #[test]
    fn a_wobbling_timestamp_stays_in_line_across_both_wraps() {
        let mut stream = Stream::default();
        let (sequence, timestamp) = (u16::MAX - 2, u32::MAX - 1000);
        let Admission::NewStream(first) = stream.admit(&packet(0, 1, sequence, timestamp), 960) else {
            panic!()
        };
        for n in 1..20 {
            let wobble = if n % 2 == 0 { 8 } else { 0_u32.wrapping_sub(8) };
            let wire = timestamp.wrapping_add(960 * n).wrapping_add(wobble);
            let admission =
                stream.admit(&packet(i64::from(n) * 20, 1, sequence.wrapping_add(n as u16), wire), 960);
            let n = i64::from(n);
            let place = Place { sequence: first.sequence + n, timestamp: first.timestamp + 960 * n };
            assert_eq!(admission, Admission::Member(place));
        }
    }

    #[test]
    fn one_far_packet_is_not_believed_and_three_are() {
        let mut stream = Stream::default();
        stream.admit(&packet(0, 1, 10, 0), 960);
        assert_eq!(stream.admit(&packet(20, 1, 11, 1 << 30), 960), Admission::Probation);
        assert!(matches!(stream.admit(&packet(20, 1, 11, 960), 960), Admission::Member(_)));
        assert_eq!(stream.admit(&packet(40, 2, 7, 100), 960), Admission::Probation);
        assert_eq!(stream.admit(&packet(60, 2, 8, 1060), 960), Admission::Probation);
        assert!(matches!(stream.admit(&packet(80, 2, 9, 2020), 960), Admission::NewStream(_)));
    }

    #[test]
    fn a_packet_far_ahead_is_not_believed_though_it_is_in_line() {
        let mut stream = Stream::default();
        stream.admit(&packet(0, 1, 10, 0), 960);
        assert_eq!(stream.admit(&packet(20, 1, 110, 96_000), 960), Admission::Probation);
        assert!(matches!(stream.admit(&packet(20, 1, 11, 960), 960), Admission::Member(_)));
    }

    #[test]
    fn a_sender_that_stood_still_begins_anew() {
        let mut stream = Stream::default();
        stream.admit(&packet(0, 1, 10, 0), 960);
        assert!(matches!(stream.admit(&packet(60_000, 1, 11, 960), 960), Admission::NewStream(_)));
        assert!(matches!(stream.admit(&packet(60_020, 1, 12, 1920), 960), Admission::Member(_)));
    }

    #[test]
    fn an_event_fills_its_place_in_the_sequence_once() {
        let mut stream = Stream::default();
        assert_eq!(stream.admit_soundless(&packet(0, 1, 9, 0)), None);
        stream.admit(&packet(0, 1, 10, 0), 960);
        assert_eq!(stream.admit_soundless(&packet(0, 1, 11, 0)), Some(11));
        assert_eq!(stream.admit_soundless(&packet(0, 1, 11, 0)), None);
        assert_eq!(stream.admit_soundless(&packet(0, 2, 12, 0)), None);
    }

    #[test]
    fn a_pause_moves_time_with_the_clock() {
        let mut stream = Stream::default();
        stream.admit(&packet(0, 1, 10, 0), 960);
        let hour = stream.admit(&packet(3_600_000, 1, 11, 3600 * 48_000), 960);
        assert_eq!(hour, Admission::Member(Place { sequence: 11, timestamp: 3600 * 48_000 }));
        assert_eq!(stream.admit(&packet(3_600_020, 1, 12, 4 * 3600 * 48_000), 960), Admission::Probation);
    }
}
