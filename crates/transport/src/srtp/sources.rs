//! The sources (SSRC) a peer may use, each with its replay windows.

use webrtc_util::replay_detector::{ReplayDetector, SlidingWindowDetector};

/// A peer that changes its source more often than this in one session is not listened to any further.
const MAX_SOURCES: usize = 16;
/// Packets that may overtake each other.
const WINDOW: usize = 128;
const LARGEST_RTP_INDEX: u64 = (1 << 48) - 1;
const LARGEST_RTCP_INDEX: u64 = (1 << 31) - 1;

/// Bounded list; looked up per packet, so the newest is first.
pub(super) struct Sources(Vec<Source>);

impl Sources {
    pub(super) fn new(announced: &[u32]) -> Self {
        Self(announced.iter().take(MAX_SOURCES).map(|ssrc| Source::new(*ssrc)).collect())
    }

    pub(super) fn get(&mut self, ssrc: u32) -> Option<&mut Source> {
        self.0.iter_mut().find(|source| source.ssrc == ssrc)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_SOURCES
    }

    pub(super) fn add(&mut self, ssrc: u32) {
        self.0.insert(0, Source::new(ssrc));
    }
}

/// Replay state of one source.
pub(super) struct Source {
    ssrc: u32,
    /// Highest authenticated 48-bit index.
    highest: Option<u64>,
    rtp: SlidingWindowDetector,
    rtcp: SlidingWindowDetector,
}

impl Source {
    fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            highest: None,
            rtp: SlidingWindowDetector::new(WINDOW, LARGEST_RTP_INDEX),
            rtcp: SlidingWindowDetector::new(WINDOW, LARGEST_RTCP_INDEX),
        }
    }

    /// Whether the packet is new, as far as can be told before it is authenticated.
    pub(super) fn check_rtp(&mut self, sequence: u16) -> bool {
        self.index(sequence).is_some_and(|index| self.rtp.check(index))
    }

    /// Notes the packet of the last check as received.
    pub(super) fn accept_rtp(&mut self, sequence: u16) {
        self.rtp.accept();
        let index = self.index(sequence);
        self.highest = self.highest.max(index);
    }

    pub(super) fn check_rtcp(&mut self, index: u64) -> bool {
        self.rtcp.check(index)
    }

    pub(super) fn accept_rtcp(&mut self) {
        self.rtcp.accept();
    }

    /// The index nearest to the highest so far (RFC 3711, section 3.3.1); `None` from before the stream's beginning.
    fn index(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else { return Some(u64::from(sequence)) };
        let distance = sequence.wrapping_sub(highest as u16).cast_signed();
        highest.checked_add_signed(i64::from(distance))
    }
}
