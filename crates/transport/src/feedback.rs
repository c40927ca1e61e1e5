//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): what arrived when, told to the sender.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
    SymbolTypeTcc, TransportLayerCc,
};

use crate::event::{FeedbackReport, PacketFate};

/// Ten seconds of 20 ms packets are remembered on the sending side.
const HISTORY: usize = 512;
/// Packets one report tells of; more wait for the next.
const MOST_REPORTED: usize = 128;
const TICK: Duration = Duration::from_micros(250);
const REFERENCE: Duration = Duration::from_millis(64);
const REFERENCE_MASK: u32 = 0x00FF_FFFF;

/// Receiving side: collects arrivals and makes reports.
#[derive(Debug)]
pub(crate) struct ArrivalRecorder {
    start: Instant,
    /// Extended sequence numbers with arrival times, not yet reported, sorted.
    arrivals: VecDeque<(u64, Instant)>,
    /// The first number the next report tells of.
    next: Option<u64>,
    highest: Option<u64>,
    reports: u8,
}

impl ArrivalRecorder {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, arrivals: VecDeque::new(), next: None, highest: None, reports: 0 }
    }

    pub(crate) fn record(&mut self, now: Instant, sequence: u16) {
        let index = extend(self.highest, sequence);
        self.highest = self.highest.max(Some(index));
        let place = self.arrivals.partition_point(|(known, _)| *known < index);
        let known = self.arrivals.get(place).is_some_and(|(known, _)| *known == index);
        // What an earlier report called lost is not corrected: the sender has drawn its conclusions.
        if known || self.next.is_some_and(|next| index < next) || self.arrivals.len() >= 2 * MOST_REPORTED {
            return;
        }
        self.arrivals.insert(place, (index, now));
    }

    /// The next report, if anything arrived since the last.
    pub(crate) fn report(&mut self, sender_ssrc: u32, media_ssrc: u32) -> Option<TransportLayerCc> {
        let first_arrived = self.arrivals.front()?.0;
        // A gap longer than a report is not listed packet by packet.
        let base =
            self.next.filter(|next| first_arrived - next < MOST_REPORTED as u64).unwrap_or(first_arrived);
        let start = self.start;
        let reference_ticks =
            self.arrivals.front()?.1.saturating_duration_since(start).as_millis() / REFERENCE.as_millis();
        let reference = start + REFERENCE * u32::try_from(reference_ticks).unwrap_or(u32::MAX >> 7);
        let mut statuses = Vec::new();
        let mut deltas = Vec::new();
        let mut previous = reference;
        let mut previous_ticks = 0;
        while let Some(&(index, arrived)) = self.arrivals.front() {
            let place = usize::try_from(index - base).unwrap_or(usize::MAX);
            let ticks = ticks_between(reference, arrived);
            let delta = ticks - previous_ticks;
            if place >= MOST_REPORTED || i16::try_from(delta).is_err() {
                break;
            }
            statuses.resize(place, SymbolTypeTcc::PacketNotReceived);
            let symbol = symbol_of(delta);
            statuses.push(symbol);
            deltas.push(RecvDelta { type_tcc_packet: symbol, delta: delta * TICK.as_micros() as i64 });
            (previous, previous_ticks) = (previous.max(arrived), ticks);
            self.arrivals.pop_front();
        }
        self.next = Some(base + statuses.len() as u64);
        let count = self.reports;
        self.reports = self.reports.wrapping_add(1);
        Some(TransportLayerCc {
            sender_ssrc,
            media_ssrc,
            base_sequence_number: base as u16,
            packet_status_count: statuses.len() as u16,
            reference_time: (reference_ticks as u32) & REFERENCE_MASK,
            fb_pkt_count: count,
            packet_chunks: statuses.chunks(7).map(chunk_of).collect(),
            recv_deltas: deltas,
        })
    }
}

fn ticks_between(reference: Instant, arrived: Instant) -> i64 {
    let forward = arrived.saturating_duration_since(reference).as_micros() as i64;
    let backward = reference.saturating_duration_since(arrived).as_micros() as i64;
    (forward - backward).div_euclid(TICK.as_micros() as i64)
}

fn symbol_of(delta: i64) -> SymbolTypeTcc {
    if (0..=255).contains(&delta) {
        SymbolTypeTcc::PacketReceivedSmallDelta
    } else {
        SymbolTypeTcc::PacketReceivedLargeDelta
    }
}

/// Up to seven packets: a full vector, or a run where the last chunk must not claim more packets than there are.
fn chunk_of(statuses: &[SymbolTypeTcc]) -> PacketStatusChunk {
    let first = statuses[0];
    if statuses.iter().all(|status| *status == first) {
        return PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: first,
            run_length: statuses.len() as u16,
        });
    }
    let mut symbol_list = statuses.to_vec();
    symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
    PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
        type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
        symbol_size: SymbolSizeTypeTcc::TwoBit,
        symbol_list,
    })
}

#[derive(Debug, Clone, Copy)]
struct SentPacket {
    number: u64,
    at: Instant,
    size: usize,
    payload: usize,
}

impl SentPacket {
    fn fate(&self, arrived: Option<Duration>) -> PacketFate {
        PacketFate { number: self.number, sent: self.at, size: self.size, payload: self.payload, arrived }
    }
}

/// Sending side: remembers what was sent and reads the peer's reports.
#[derive(Debug, Default)]
pub(crate) struct SentHistory {
    sent: VecDeque<SentPacket>,
    next: u64,
    /// Extended count of the peer's 64 ms reference ticks.
    reference: Option<i64>,
}

impl SentHistory {
    /// The number of the next packet.
    pub(crate) fn next_sequence(&self) -> u16 {
        self.next as u16
    }

    /// Notes a packet of `size` bytes, `payload` of them its content.
    pub(crate) fn record(&mut self, now: Instant, size: usize, payload: usize) {
        if self.sent.len() >= HISTORY {
            self.sent.pop_front();
        }
        self.sent.push_back(SentPacket { number: self.next, at: now, size, payload });
        self.next += 1;
    }

    /// Matches a report with what was sent. Packets sent too long ago to be remembered are left out.
    pub(crate) fn match_report(&mut self, report: &TransportLayerCc) -> FeedbackReport {
        let reference = self.extend_reference(report.reference_time);
        let mut ticks = reference * (REFERENCE.as_micros() / TICK.as_micros()) as i64;
        let mut deltas = report.recv_deltas.iter();
        let base = extend(self.next.checked_sub(1), report.base_sequence_number);
        let symbols =
            report.packet_chunks.iter().flat_map(symbols_of).take(report.packet_status_count.into());
        let mut packets = Vec::new();
        for (index, symbol) in (base..).zip(symbols) {
            let arrived = match symbol {
                SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta => {
                    let Some(delta) = deltas.next() else { break };
                    ticks += delta.delta / TICK.as_micros() as i64;
                    u64::try_from(ticks).ok().map(|ticks| Duration::from_micros(ticks.saturating_mul(250)))
                }
                _ => None,
            };
            packets.extend(self.find(index).map(|packet| packet.fate(arrived)));
        }
        FeedbackReport { packets }
    }

    fn find(&self, index: u64) -> Option<&SentPacket> {
        let place = index.checked_sub(self.sent.front()?.number)?;
        self.sent.get(usize::try_from(place).ok()?)
    }

    /// The 24-bit count wraps after twelve days; until then and after, arrival times only grow.
    fn extend_reference(&mut self, reference: u32) -> i64 {
        let known = self.reference.unwrap_or_else(|| i64::from(reference));
        let distance = (reference.wrapping_sub(known as u32) << 8).cast_signed() >> 8;
        let extended = (known + i64::from(distance)).max(0);
        self.reference = Some(extended);
        extended
    }
}

fn symbols_of(chunk: &PacketStatusChunk) -> Vec<SymbolTypeTcc> {
    match chunk {
        PacketStatusChunk::RunLengthChunk(run) => vec![run.packet_status_symbol; run.run_length.into()],
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    }
}

/// The extended number nearest to the highest known.
fn extend(highest: Option<u64>, sequence: u16) -> u64 {
    // One cycle of room for packets from before the first.
    let Some(highest) = highest else { return u64::from(sequence) };
    let distance = sequence.wrapping_sub(highest as u16).cast_signed();
    highest.saturating_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use webrtc_util::marshal::{Marshal, Unmarshal};

    use super::*;
    use crate::fuzzing::start;

    fn over_the_wire(report: &TransportLayerCc) -> TransportLayerCc {
        TransportLayerCc::unmarshal(&mut report.marshal().unwrap()).unwrap()
    }

    #[test]
    fn fates_come_back_over_the_wrap() {
        let start = start();
        let mut history = SentHistory { next: 65_530, ..SentHistory::default() };
        let mut recorder = ArrivalRecorder::new(start);
        let mut fates = Vec::new();
        for count in 0..100_u32 {
            let now = start + Duration::from_millis(20) * count;
            let sequence = history.next_sequence();
            history.record(now, 100, 80);
            if count % 10 != 3 {
                recorder.record(now + Duration::from_millis(30), sequence);
            }
            if count % 5 == 4 {
                let report = recorder.report(1, 2).unwrap();
                fates.extend(history.match_report(&over_the_wire(&report)).packets);
            }
        }
        assert_eq!(fates.len(), 100);
        for (count, fate) in fates.iter().enumerate() {
            assert_eq!(fate.arrived.is_some(), count % 10 != 3, "packet {count}");
            assert_eq!(fate.sent, start + Duration::from_millis(20) * count as u32);
        }
        let delays: Vec<_> = fates
            .iter()
            .filter_map(|fate| Some(fate.arrived? + Duration::from_secs(1) - (fate.sent - start)))
            .collect();
        let spread = *delays.iter().max().unwrap() - *delays.iter().min().unwrap();
        assert!(spread <= TICK, "one-way delay is constant but spreads by {spread:?}");
    }

    #[test]
    fn reordered_and_repeated_arrivals_are_reported_once() {
        let start = start();
        let mut recorder = ArrivalRecorder::new(start);
        for (at, sequence) in [(0, 5), (10, 7), (400, 6), (410, 7)] {
            recorder.record(start + Duration::from_millis(at), sequence);
        }
        let report = over_the_wire(&recorder.report(1, 2).unwrap());
        assert_eq!((report.base_sequence_number, report.packet_status_count), (5, 3));
        assert_eq!(report.recv_deltas.len(), 3);
        assert!(report.recv_deltas[2].delta < 0, "7 came before 6");
        assert!(recorder.report(1, 2).is_none());
    }

    #[test]
    fn a_report_about_nothing_we_sent_is_empty() {
        let report = TransportLayerCc { packet_status_count: 9, ..TransportLayerCc::default() };
        assert_eq!(SentHistory::default().match_report(&report), FeedbackReport::default());
    }
}
