//! A codec whose sound tells its media time, and a network and a clock in virtual time.

use std::cell::Cell;
use std::rc::Rc;

use offhook_media_core::codec::red::{self, RedBlock};
use offhook_media_core::codec::{OpusError, opus_toc};
use offhook_media_core::recv::{IncomingPacket, ReceiveConfig, ReceivePipeline, SlotDecoder, Taken};
use offhook_media_core::rt_context::RtContext;
use offhook_media_core::units::MediaTime;

/// How many random operations are tried: `OFFHOOK_PROPTEST_OPS`, or a number that takes seconds.
pub(crate) fn operations() -> u64 {
    std::env::var("OFFHOOK_PROPTEST_OPS").ok().and_then(|text| text.parse().ok()).unwrap_or(60_000)
}

/// Seconds of a run that should be long: an hour where a million operations are tried, else five minutes.
pub(crate) fn long_run() -> i64 {
    if operations() >= 1_000_000 { 3600 } else { 300 }
}

/// Samples of a packet.
pub(crate) const PACKET: u32 = 960;
/// Microseconds of a packet.
pub(crate) const PACKET_MICROS: i64 = 20_000;

/// What a decoder was asked for.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Packets that were older than the one before.
    pub(crate) backwards: Cell<u32>,
    /// Calls to make sound up.
    pub(crate) made_up: Cell<u32>,
    pub(crate) resets: Cell<u32>,
}

/// Each decoded sample is its own media time plus one; what is made up is zero.
#[derive(Debug, Default)]
pub(crate) struct TimeDecoder {
    log: Rc<Log>,
    last: Option<u32>,
    /// Time of the packet whose deep redundancy is held.
    deep: Option<u32>,
}

impl SlotDecoder for TimeDecoder {
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        if packet.len() == 1 {
            out[..PACKET as usize].fill(0.0);
            return Ok(PACKET as usize);
        }
        let time = time_of(packet).ok_or(OpusError::InvalidPacket)?;
        let samples = opus_toc::samples(packet).ok_or(OpusError::InvalidPacket)?;
        if self.last.is_some_and(|last| (time.wrapping_sub(last) as i32) < 0) {
            self.log.backwards.set(self.log.backwards.get() + 1);
        }
        self.last = Some(time);
        fill(time, &mut out[..samples]);
        Ok(samples)
    }

    fn decode_fec(&mut self, successor: &[u8], out: &mut [f32]) -> Result<usize, OpusError> {
        let time = time_of(successor).ok_or(OpusError::InvalidPacket)?;
        let len = out.len();
        fill(time.wrapping_sub(len as u32), out);
        Ok(len)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, OpusError> {
        self.log.made_up.set(self.log.made_up.get() + 1);
        out.fill(0.0);
        Ok(out.len())
    }

    fn dred_span(&mut self, packet: &[u8]) -> usize {
        let span = packet.get(6).map_or(0, |tens| usize::from(*tens) * 480);
        self.deep = time_of(packet).filter(|_| span > 0);
        span
    }

    fn decode_dred(&mut self, before: usize, out: &mut [f32]) -> Result<usize, OpusError> {
        let time = self.deep.ok_or(OpusError::BadArgument)?;
        let len = out.len();
        fill(time.wrapping_sub(before as u32), out);
        Ok(len)
    }

    fn reset(&mut self) {
        self.log.resets.set(self.log.resets.get() + 1);
        self.last = None;
    }
}

fn time_of(packet: &[u8]) -> Option<u32> {
    packet.get(2..6).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn fill(time: u32, out: &mut [f32]) {
    for (n, sample) in (0_u32..).zip(out) {
        // Whole numbers this small are exact.
        *sample = (time.wrapping_add(n) % (1 << 23) + 1) as f32;
    }
}

/// First byte of a packet with one 20 ms SILK frame.
pub(crate) const SILK_20: u8 = 1 << 3;

/// A packet by its first bytes, with or without a copy of the frame before it; `time` is its content.
fn payload(toc: u8, time: u32, fec: bool, deep: u8) -> [u8; 7] {
    let [a, b, c, d] = time.to_le_bytes();
    [toc, if fec { 0xc0 } else { 0x80 }, a, b, c, d, deep]
}

/// A packet as the network carries it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) arrival: i64,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) content: u32,
    pub(crate) fec: bool,
    /// How many packets back lies the one that rides along as a copy; 0 for none.
    pub(crate) red: u8,
    /// Frames of 10 ms before it that it can restore.
    pub(crate) deep: u8,
    pub(crate) toc: u8,
}

/// What is added to every number of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shift {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) clock: i64,
}

/// A receiver and what it has played.
pub(crate) struct Listener {
    pub(crate) pipeline: ReceivePipeline<TimeDecoder>,
    pub(crate) heard: Vec<f32>,
    pub(crate) now: i64,
    pub(crate) log: Rc<Log>,
    /// What arrived by then is inserted.
    arrived_until: i64,
    /// Sixths of a microsecond that `now` is behind.
    sixths: i64,
    shift: Shift,
}

impl Listener {
    pub(crate) fn new(shift: Shift) -> Self {
        let config = ReceiveConfig {
            red_payload_type: Some(63),
            dtmf_payload_types: [Some(110), None],
            ..ReceiveConfig::default()
        };
        let decoder = TimeDecoder::default();
        let log = Rc::clone(&decoder.log);
        let pipeline = ReceivePipeline::with_decoder(&config, decoder);
        Self { pipeline, heard: Vec::new(), log, now: 0, arrived_until: -1, sixths: 0, shift }
    }

    pub(crate) fn insert(&mut self, sent: &Sent) -> Taken {
        let own = payload(sent.toc, sent.content, sent.fec, sent.deep);
        let mut redundant = [0; 64];
        let back = u32::from(sent.red) * PACKET;
        let (payload_type, bytes) = if sent.red == 0 {
            (111, &own[..])
        } else {
            let copy = payload(sent.toc, sent.content.wrapping_sub(back), false, 0);
            let blocks = [
                RedBlock { payload_type: 111, offset: back as u16, payload: &copy },
                RedBlock { payload_type: 111, offset: 0, payload: &own },
            ];
            let len = red::build(&blocks, &mut redundant).expect("room for two small blocks");
            (63, &redundant[..len])
        };
        let packet = IncomingPacket {
            arrival: MediaTime::from_micros(sent.arrival + self.shift.clock),
            payload_type,
            marker: false,
            ssrc: sent.ssrc,
            sequence: sent.sequence.wrapping_add(self.shift.sequence),
            timestamp: sent.timestamp.wrapping_add(self.shift.timestamp),
            payload: bytes,
        };
        let mut cx = self.cx();
        self.pipeline.insert(&mut cx, &packet)
    }

    /// Pulls at the present time; the output is checked to be all written.
    pub(crate) fn pull(&mut self, samples: usize) {
        let mut longest = [f32::NAN; 9600];
        let out = &mut longest[..samples];
        let mut cx = self.cx();
        self.pipeline.pull(&mut cx, out);
        assert!(out.iter().all(|sample| sample.is_finite()), "a sample was not written");
        self.heard.extend_from_slice(out);
    }

    /// Lets `packets` (in order of arrival) arrive while pulling `quantum` samples at a time until `until` microseconds.
    pub(crate) fn run(&mut self, packets: &[Sent], quantum: usize, until: i64) {
        while self.now < until {
            self.let_arrive(packets);
            self.pull(quantum);
            self.pass(quantum);
        }
    }

    /// Inserts those of `packets` that have arrived and are not inserted yet.
    pub(crate) fn let_arrive(&mut self, packets: &[Sent]) {
        let first = packets.partition_point(|packet| packet.arrival <= self.arrived_until);
        let now = self.now;
        for packet in packets[first..].iter().take_while(|packet| packet.arrival <= now) {
            self.insert(packet);
        }
        self.arrived_until = self.now;
    }

    /// Lets the time of so many samples pass, exactly.
    pub(crate) fn pass(&mut self, samples: usize) {
        let sixths = samples as i64 * 125 + self.sixths;
        self.now += sixths / 6;
        self.sixths = sixths % 6;
    }

    /// A packet that says that nobody speaks.
    pub(crate) fn insert_pause(&mut self, sequence: u16, timestamp: u32) -> Taken {
        self.insert_payload(111, sequence, timestamp, &[SILK_20])
    }

    /// A key's report takes a sequence number of the stream.
    pub(crate) fn insert_key(&mut self, sequence: u16, timestamp: u32) -> Taken {
        self.insert_payload(110, sequence, timestamp, &[5, 10, 0, 240])
    }

    /// A packet that carries nothing.
    pub(crate) fn insert_padding(&mut self, sequence: u16, timestamp: u32) -> Taken {
        self.insert_payload(111, sequence, timestamp, &[])
    }

    fn insert_payload(&mut self, payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Taken {
        let arrival = MediaTime::from_micros(self.now);
        let packet =
            IncomingPacket { arrival, payload_type, marker: false, ssrc: 1, sequence, timestamp, payload };
        let mut cx = self.cx();
        self.pipeline.insert(&mut cx, &packet)
    }

    fn cx(&self) -> RtContext {
        RtContext::new(MediaTime::from_micros(self.now + self.shift.clock))
    }
}

/// `count` packets, each after its last sample was captured plus what `delay` says for it (`None`: lost), in order of arrival.
pub(crate) fn stream(count: u32, fec: bool, mut delay: impl FnMut(u32) -> Option<i64>) -> Vec<Sent> {
    let mut packets: Vec<Sent> = (0..count)
        .filter_map(|k| {
            let arrival = i64::from(k + 1) * PACKET_MICROS + delay(k)?;
            let timestamp = k * PACKET;
            let sequence = k as u16;
            let content = timestamp;
            Some(Sent { arrival, ssrc: 1, sequence, timestamp, content, fec, red: 0, deep: 0, toc: SILK_20 })
        })
        .collect();
    packets.sort_by_key(|packet| packet.arrival);
    packets
}

/// Numbers that look random and are the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
