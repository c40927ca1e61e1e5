//! Measures of a call. What was not measured is `None`.

use std::time::{Duration, Instant};

use offhook_media::StreamStats;
use offhook_media_core::quality::{ImpairedSound, Score, ScoreInput, score};
use offhook_media_core::recv::ReceiveStats;
use offhook_media_core::units::SampleCount;
use offhook_signaling::call::CallDetails;
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

/// A call told in one piece, e.g. for a log or a record.
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
}

impl CallStats {
    pub(crate) fn new(driver: DriverStats, stream: StreamStats) -> Self {
        let latency = latency(&driver, &stream.receive);
        let quality = score(&score_input(latency, &stream.receive));
        Self {
            transport: driver.transport,
            stream,
            codec: driver.codec,
            datagrams_not_sent: driver.datagrams_not_sent,
            packets_not_taken: driver.packets_not_taken,
            connected: driver.connected,
            first_sound: driver.first_sound,
            latency,
            quality,
        }
    }
}

fn latency(driver: &DriverStats, receive: &ReceiveStats) -> Option<Duration> {
    let rtt = driver.transport.rtt.or(driver.transport.ice_rtt)?;
    Some(rtt / 2 + receive.mean_playout_delay? + driver.codec?.packet_time)
}

fn score_input(latency: Option<Duration>, receive: &ReceiveStats) -> ScoreInput {
    let samples = receive.decoded + receive.fec + receive.concealed;
    let sound = duration(samples);
    let stretched = (receive.accelerated + receive.expanded).saturating_sub(samples / 20);
    let impaired = ImpairedSound {
        absent: duration(receive.skipped),
        concealed: duration(receive.concealed),
        copied: duration(receive.fec),
        stretched: duration(stretched),
        ..ImpairedSound::default()
    };
    let minutes = sound.as_secs_f64() / 60.0;
    let interruptions_per_minute =
        if receive.interruptions == 0 { 0.0 } else { receive.interruptions as f64 / minutes };
    ScoreInput {
        latency,
        impaired_percent: impaired.percent_of(sound),
        interruptions_per_minute,
        ..ScoreInput::default()
    }
}

fn duration(samples: u64) -> Duration {
    SampleCount(usize::try_from(samples).unwrap_or(usize::MAX / 200)).duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 48_000;

    fn measured() -> (DriverStats, ReceiveStats) {
        let codec = Codec {
            name: "opus",
            clock_rate: 48_000,
            payload_type: 111,
            packet_time: Duration::from_millis(10),
        };
        let transport = TransportStats { rtt: Some(Duration::from_millis(40)), ..TransportStats::default() };
        let receive = ReceiveStats {
            decoded: 60 * SECOND,
            mean_playout_delay: Some(Duration::from_millis(30)),
            ..ReceiveStats::default()
        };
        (DriverStats { transport, codec: Some(codec), ..DriverStats::default() }, receive)
    }

    #[test]
    fn latency_is_the_sum_of_what_is_measured() {
        let (driver, receive) = measured();
        assert_eq!(latency(&driver, &receive), Some(Duration::from_millis(60)));
        let unheard = ReceiveStats { mean_playout_delay: None, ..receive };
        assert_eq!(latency(&driver, &unheard), None);
        assert_eq!(latency(&DriverStats { codec: None, ..driver }, &receive), None);
    }

    #[test]
    fn loss_and_breaks_lower_the_score_and_silence_has_none() {
        let (driver, receive) = measured();
        let judge = |receive: &ReceiveStats| score(&score_input(latency(&driver, receive), receive));
        let good = judge(&receive).unwrap();
        let concealed = judge(&ReceiveStats { concealed: 3 * SECOND, ..receive }).unwrap();
        let broken = judge(&ReceiveStats { interruptions: 3, ..receive }).unwrap();
        assert!(good.mos > 4.0 && concealed.mos < good.mos && broken.mos < good.mos);
        assert_eq!(judge(&ReceiveStats { decoded: 0, ..receive }), None);
    }
}
