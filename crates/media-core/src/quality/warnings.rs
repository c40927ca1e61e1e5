//! The published quality warnings, from one sample a second.

use std::time::Duration;

/// What can be warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WarningKind {
    /// Round trip over 300 ms.
    HighRemoteInboundRtt,
    /// Jitter over 30 ms in three of the last four samples.
    HighInboundJitter,
    /// Loss over 1 % in three of the last four samples.
    HighInboundPacketLoss,
    /// The call is established but not connected.
    MissingMediaStream,
    /// The near end's level has hardly moved for 20 s.
    ConstantOutboundAudioLevel,
    /// The far end's level has hardly moved for 20 s.
    ConstantInboundAudioLevel,
    /// The near end has been silent for 20 s.
    ZeroOutboundAudioLevel,
    /// The far end has been silent for 20 s.
    ZeroInboundAudioLevel,
}

impl WarningKind {
    /// All kinds, in the order of declaration.
    pub const ALL: [Self; KINDS] = [
        Self::HighRemoteInboundRtt,
        Self::HighInboundJitter,
        Self::HighInboundPacketLoss,
        Self::MissingMediaStream,
        Self::ConstantOutboundAudioLevel,
        Self::ConstantInboundAudioLevel,
        Self::ZeroOutboundAudioLevel,
        Self::ZeroInboundAudioLevel,
    ];
}

/// Whether it begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarningEvent {
    /// The condition holds now.
    Trigger,
    /// It does not hold any more.
    Recover,
}

/// One warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QualityWarning {
    /// Of what.
    pub kind: WarningKind,
    /// Begin or end.
    pub event: WarningEvent,
}

/// One second of a call; what was not measured changes no warning.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QualityInput {
    /// Round trip time.
    pub rtt: Option<Duration>,
    /// Interarrival jitter.
    pub jitter: Option<Duration>,
    /// Packets lost in this second, 0..=1 of those expected.
    pub loss: Option<f64>,
    /// Whether media is connected.
    pub connected: bool,
    /// Amplitude of the near end, 0..=1 of full scale.
    pub outbound_level: Option<f64>,
    /// Amplitude of the far end, 0..=1 of full scale.
    pub inbound_level: Option<f64>,
}

const HIGH_RTT: Duration = Duration::from_millis(300);
const HIGH_JITTER: Duration = Duration::from_millis(30);
const HIGH_LOSS: f64 = 0.01;
const LEVEL_SECONDS: usize = 20;
const CONSTANT_DEVIATION: f64 = 0.005;
/// A decoder that was given silence may answer with the smallest step of 16 bits, or two.
const SILENCE: f64 = 1e-4;
const KINDS: usize = 8;

/// The last four answers to a yes-or-no question.
#[derive(Debug, Clone, Copy, Default)]
struct LastFour(u8);

impl LastFour {
    fn note(&mut self, yes: bool) -> bool {
        self.0 = (self.0 << 1 | u8::from(yes)) & 0b1111;
        self.0.count_ones() >= 3
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Levels {
    last: [f64; LEVEL_SECONDS],
    count: usize,
}

impl Levels {
    /// `(constant, zero)` once 20 s were seen.
    fn note(&mut self, level: f64) -> Option<(bool, bool)> {
        self.last[self.count % LEVEL_SECONDS] = level;
        self.count += 1;
        if self.count < LEVEL_SECONDS {
            return None;
        }
        let mean = self.last.iter().sum::<f64>() / LEVEL_SECONDS as f64;
        let variance =
            self.last.iter().map(|level| (level - mean) * (level - mean)).sum::<f64>() / LEVEL_SECONDS as f64;
        let zero = self.last.iter().all(|level| *level < SILENCE);
        Some((variance.sqrt() < CONSTANT_DEVIATION && !zero, zero))
    }
}

/// Remembers what was warned of. Feed it one [`QualityInput`] a second while the call is established.
#[derive(Debug, Clone, Default)]
pub struct QualityMonitor {
    jitter: LastFour,
    loss: LastFour,
    outbound: Levels,
    inbound: Levels,
    active: [bool; KINDS],
}

impl QualityMonitor {
    /// Judges one second; calls `warn` for each warning that begins or ends.
    pub fn observe(&mut self, input: &QualityInput, mut warn: impl FnMut(QualityWarning)) {
        use WarningKind as Kind;
        let jitter = input.jitter.map(|jitter| self.jitter.note(jitter > HIGH_JITTER));
        let loss = input.loss.map(|loss| self.loss.note(loss > HIGH_LOSS));
        let outbound = input.outbound_level.and_then(|level| self.outbound.note(level));
        let inbound = input.inbound_level.and_then(|level| self.inbound.note(level));
        let holds = [
            (Kind::HighRemoteInboundRtt, input.rtt.map(|rtt| rtt > HIGH_RTT)),
            (Kind::HighInboundJitter, jitter),
            (Kind::HighInboundPacketLoss, loss),
            (Kind::MissingMediaStream, Some(!input.connected)),
            (Kind::ConstantOutboundAudioLevel, outbound.map(|(constant, _)| constant)),
            (Kind::ConstantInboundAudioLevel, inbound.map(|(constant, _)| constant)),
            (Kind::ZeroOutboundAudioLevel, outbound.map(|(_, zero)| zero)),
            (Kind::ZeroInboundAudioLevel, inbound.map(|(_, zero)| zero)),
        ];
        for (kind, holds) in holds {
            let active = &mut self.active[kind as usize];
            if let Some(holds) = holds
                && holds != std::mem::replace(active, holds)
            {
                warn(QualityWarning {
                    kind,
                    event: if holds { WarningEvent::Trigger } else { WarningEvent::Recover },
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> QualityInput {
        QualityInput {
            rtt: Some(Duration::from_millis(40)),
            jitter: Some(Duration::from_millis(2)),
            loss: Some(0.0),
            connected: true,
            ..QualityInput::default()
        }
    }

    fn warnings(monitor: &mut QualityMonitor, input: &QualityInput) -> Vec<QualityWarning> {
        let mut warnings = Vec::new();
        monitor.observe(input, |warning| warnings.push(warning));
        warnings
    }

    #[test]
    fn a_good_call_warns_of_nothing() {
        let mut monitor = QualityMonitor::default();
        for _ in 0..100 {
            assert!(warnings(&mut monitor, &good()).is_empty());
        }
    }

    #[test]
    fn kinds_are_in_the_order_of_declaration() {
        assert!(WarningKind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
    }

    #[test]
    fn jitter_warns_in_three_of_four_and_recovers() {
        let mut monitor = QualityMonitor::default();
        let shaky = QualityInput { jitter: Some(Duration::from_millis(31)), ..good() };
        let at_the_limit = QualityInput { jitter: Some(Duration::from_millis(30)), ..good() };
        let counts: Vec<usize> = [&shaky, &at_the_limit, &shaky, &shaky, &at_the_limit, &at_the_limit]
            .map(|input| warnings(&mut monitor, input).len())
            .into();
        assert_eq!(counts, [0, 0, 0, 1, 1, 0], "two of the last four are good");
    }

    #[test]
    fn media_that_is_not_connected_is_missing_until_it_is() {
        let mut monitor = QualityMonitor::default();
        let missing = QualityInput { connected: false, ..QualityInput::default() };
        let kind = WarningKind::MissingMediaStream;
        assert_eq!(warnings(&mut monitor, &missing), [QualityWarning { kind, event: WarningEvent::Trigger }]);
        assert_eq!(warnings(&mut monitor, &good()), [QualityWarning { kind, event: WarningEvent::Recover }]);
    }

    #[test]
    fn a_voice_that_is_heard_again_ends_the_warning_of_silence() {
        let mut monitor = QualityMonitor::default();
        let at = |level| QualityInput { outbound_level: Some(level), ..good() };
        for _ in 0..LEVEL_SECONDS {
            warnings(&mut monitor, &at(0.0));
        }
        let kind = WarningKind::ZeroOutboundAudioLevel;
        assert_eq!(
            warnings(&mut monitor, &at(0.3)),
            [QualityWarning { kind, event: WarningEvent::Recover }],
            "and a level that moved is not constant"
        );
    }

    #[test]
    fn rtt_warns_at_once_and_recovers_at_once() {
        let mut monitor = QualityMonitor::default();
        let slow = QualityInput { rtt: Some(Duration::from_millis(301)), ..good() };
        let kind = WarningKind::HighRemoteInboundRtt;
        assert_eq!(warnings(&mut monitor, &slow), [QualityWarning { kind, event: WarningEvent::Trigger }]);
        assert!(warnings(&mut monitor, &slow).is_empty());
        assert_eq!(warnings(&mut monitor, &good()), [QualityWarning { kind, event: WarningEvent::Recover }]);
    }

    #[test]
    fn loss_warns_in_three_of_four() {
        let mut monitor = QualityMonitor::default();
        let lossy = QualityInput { loss: Some(0.02), ..good() };
        let unmeasured = QualityInput { loss: None, ..good() };
        let counts: Vec<usize> = [&lossy, &good(), &lossy, &unmeasured, &lossy]
            .map(|input| warnings(&mut monitor, input).len())
            .into();
        assert_eq!(counts, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn levels_warn_after_twenty_seconds() {
        let (zero, constant) = (WarningKind::ZeroInboundAudioLevel, WarningKind::ConstantInboundAudioLevel);
        let step = 1.0 / 32_768.0;
        for (level, kind) in
            [(0.0, zero), (step, zero), (2.0 * step, zero), (0.001, constant), (0.3, constant)]
        {
            let mut monitor = QualityMonitor::default();
            let flat = QualityInput { inbound_level: Some(level), ..good() };
            for _ in 0..LEVEL_SECONDS - 1 {
                assert!(warnings(&mut monitor, &flat).is_empty());
            }
            assert_eq!(
                warnings(&mut monitor, &flat),
                [QualityWarning { kind, event: WarningEvent::Trigger }]
            );
        }
    }
}
