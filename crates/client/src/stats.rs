//! Measures of a call. What was not measured is `None`.

use std::time::{Duration, Instant};

use offhook_media::StreamStats;
use offhook_media_core::quality::{DelayPercentiles, Heard, Score};
use offhook_media_core::recv::ReceiveStats;
use offhook_signaling::call::CallDetails;
use offhook_signaling::verification::Verification;
use offhook_signaling::{CallId, UserId};
use offhook_transport::TransportStats;

use crate::event::CallDirection;

/// How a call stands now, or stood when it ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallStats {
    /// The network side: packets, loss, round trip, jitter, DTLS and SRTP, both ends of the path.
    pub transport: TransportStats,
    /// The sound side: encoder, jitter buffer, concealment, levels.
    pub stream: StreamStats,
    /// The codec, once it is negotiated.
    pub codec: Option<Codec>,
    /// Datagrams the system did not take at once; they were dropped.
    pub datagrams_not_sent: u64,
    /// Received packets the media thread did not take; they were dropped.
    pub packets_not_taken: u64,
    /// When keys and a path were there.
    pub connected: Option<Instant>,
    /// When the far end's first sound left for the speaker.
    pub first_sound: Option<Instant>,
    /// The far end's mouth to this ear as far as it is measured here: half the round trip, the mean playout delay and one packet's time.
    /// What the sound devices add is not in it.
    pub latency: Option<Duration>,
    /// How that latency was distributed over the call, looked at ten times a second.
    pub latency_percentiles: Option<DelayPercentiles>,
    /// What that latency and the sound that was lost, restored or made up are worth to a listener (E-model).
    pub quality: Option<Score>,
}

/// What the sound is coded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// Its name as in session descriptions.
    pub name: &'static str,
    /// Samples per second.
    pub clock_rate: u32,
    /// RTP payload type.
    pub payload_type: u8,
    /// Sound per packet that is sent.
    pub packet_time: Duration,
}

/// A call told in one piece, e.g. for a log or a record. Serialized it is one flat object, times in milliseconds; what was not measured is
/// null.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallReport {
    /// The call.
    pub call_id: CallId,
    /// Who called.
    pub direction: CallDirection,
    /// The other person.
    pub remote_user_id: UserId,
    /// All times, the end cause and the error.
    pub details: CallDetails,
    /// Whether it had an authentication string.
    pub verification: Verification,
    /// How long it was established; `None` when it never was.
    pub duration: Option<Duration>,
    /// Its measures.
    pub stats: CallStats,
}

/// What the driver of a call knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct DriverStats {
    pub(crate) transport: TransportStats,
    pub(crate) codec: Option<Codec>,
    pub(crate) datagrams_not_sent: u64,
    pub(crate) packets_not_taken: u64,
    pub(crate) connected: Option<Instant>,
    pub(crate) first_sound: Option<Instant>,
    pub(crate) latency_percentiles: Option<DelayPercentiles>,
}

impl CallStats {
    pub(crate) fn new(driver: DriverStats, stream: StreamStats) -> Self {
        let heard = Heard { before: &ReceiveStats::default(), after: &stream.receive };
        let latency = latency(&driver, stream.receive.mean_playout_delay);
        let quality = heard.score(latency);
        Self {
            transport: driver.transport,
            stream,
            codec: driver.codec,
            datagrams_not_sent: driver.datagrams_not_sent,
            packets_not_taken: driver.packets_not_taken,
            connected: driver.connected,
            first_sound: driver.first_sound,
            latency,
            latency_percentiles: driver.latency_percentiles,
            quality,
        }
    }
}

/// Mouth to ear without devices, of sound with this playout delay. The far end's packets are taken to be as long as this end's.
pub(crate) fn latency(driver: &DriverStats, playout_delay: Option<Duration>) -> Option<Duration> {
    let rtt = driver.transport.rtt.or(driver.transport.ice_rtt)?;
    Some(rtt / 2 + playout_delay? + driver.codec?.packet_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> DriverStats {
        let codec = Codec {
            name: "opus",
            clock_rate: 48_000,
            payload_type: 111,
            packet_time: Duration::from_millis(10),
        };
        let transport = TransportStats { rtt: Some(Duration::from_millis(40)), ..TransportStats::default() };
        DriverStats { transport, codec: Some(codec), ..DriverStats::default() }
    }

    #[test]
    fn latency_is_the_sum_of_what_is_measured() {
        let playout = Some(Duration::from_millis(30));
        let driver = measured();
        assert_eq!(latency(&driver, playout), Some(Duration::from_millis(60)));
        assert_eq!(latency(&driver, None), None);
        let path = TransportStats { ice_rtt: Some(Duration::from_millis(20)), ..TransportStats::default() };
        assert_eq!(
            latency(&DriverStats { transport: path, ..measured() }, playout),
            Some(Duration::from_millis(50))
        );
        let nothing = TransportStats::default();
        assert_eq!(latency(&DriverStats { transport: nothing, ..measured() }, playout), None);
        assert_eq!(latency(&DriverStats { codec: None, ..measured() }, playout), None);
    }
}
