//! Keys to send, one after the other, timed by media time (RFC 4733 section 2.5.1).

use thiserror::Error;
use webrtc_util::marshal::Marshal;

use crate::codec::telephone_event::{DtmfDigit, TelephoneEvent};

/// Keys that can wait.
const MOST_WAITING: usize = 32;
/// A key sounds for 100 ms, then 60 ms of pause; at 48 kHz.
const KEY_SAMPLES: u32 = 4800;
const PAUSE_SAMPLES: u32 = 2880;
/// A report every 20 ms, and the last one three times.
const REPORT_SAMPLES: u32 = 960;
const END_REPORTS: u8 = 3;

/// Why a key is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QueueDtmfError {
    /// Too many keys are waiting: try again when some were sent.
    #[error("{MOST_WAITING} keys are waiting already")]
    Full,
    /// The peer takes no telephone-event: say so to the user.
    #[error("the peer takes no telephone-event")]
    NotNegotiated,
}

/// One report to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// First report of its key.
    pub(super) first: bool,
    /// Samples since the key began: its RTP timestamp lies this far back.
    pub(super) began: u32,
    event: TelephoneEvent,
}

impl Report {
    pub(super) fn write(&self, out: &mut [u8]) -> Result<usize, webrtc_util::Error> {
        self.event.marshal_to(out)
    }
}

/// The queue and the key being sent.
#[derive(Debug, Default)]
pub(super) struct DtmfSender {
    waiting: [Option<DtmfDigit>; MOST_WAITING],
    head: usize,
    count: usize,
    current: Option<(DtmfDigit, u32)>,
    since_report: u32,
    end_reports: u8,
    pause: u32,
}

impl DtmfSender {
    pub(super) fn queue(&mut self, digit: DtmfDigit) -> Result<(), QueueDtmfError> {
        if self.count == MOST_WAITING {
            return Err(QueueDtmfError::Full);
        }
        self.waiting[(self.head + self.count) % MOST_WAITING] = Some(digit);
        self.count += 1;
        Ok(())
    }

    /// Whether a key sounds now.
    pub(super) const fn is_sounding(&self) -> bool {
        self.current.is_some()
    }

    /// Whether keys wait.
    pub(super) const fn is_waiting(&self) -> bool {
        self.count > 0
    }

    /// Moves on by `samples`; at most one report is due per call of up to 20 ms.
    pub(super) fn advance(&mut self, samples: u32) -> Option<Report> {
        if let Some((digit, length)) = self.current {
            return self.advance_key(digit, length + samples, samples);
        }
        self.pause = self.pause.saturating_sub(samples);
        if self.pause > 0 || self.count == 0 {
            return None;
        }
        let digit = self.waiting[self.head].take()?;
        self.head = (self.head + 1) % MOST_WAITING;
        self.count -= 1;
        self.current = Some((digit, samples));
        self.since_report = 0;
        self.end_reports = 0;
        Some(Report {
            first: true,
            began: samples,
            event: TelephoneEvent::of(digit, duration(samples), false),
        })
    }

    fn advance_key(&mut self, digit: DtmfDigit, length: u32, samples: u32) -> Option<Report> {
        self.current = Some((digit, length));
        self.since_report += samples;
        if length < KEY_SAMPLES {
            if self.since_report < REPORT_SAMPLES {
                return None;
            }
            self.since_report = 0;
            return Some(Report {
                first: false,
                began: length,
                event: TelephoneEvent::of(digit, duration(length), false),
            });
        }
        self.end_reports += 1;
        if self.end_reports == END_REPORTS {
            self.current = None;
            self.pause = PAUSE_SAMPLES;
        }
        Some(Report {
            first: false,
            began: length,
            event: TelephoneEvent::of(digit, duration(KEY_SAMPLES), true),
        })
    }
}

fn duration(samples: u32) -> u16 {
    u16::try_from(samples.min(KEY_SAMPLES)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_begins_once_and_ends_three_times() {
        let mut sender = DtmfSender::default();
        for key in "15#".chars() {
            sender.queue(DtmfDigit::from_char(key).unwrap()).unwrap();
        }
        let reports: Vec<Report> = (0..200).filter_map(|_| sender.advance(480)).collect();
        assert_eq!(reports.iter().filter(|report| report.first).count(), 3);
        assert_eq!(reports.iter().filter(|report| report.event.end).count(), 9);
        let keys: String = reports
            .iter()
            .filter(|report| report.first)
            .map(|report| report.event.digit().unwrap().as_char())
            .collect();
        assert_eq!(keys, "15#");
        assert!(!sender.is_sounding() && !sender.is_waiting());
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut sender = DtmfSender::default();
        let digit = DtmfDigit::from_char('1').unwrap();
        for _ in 0..MOST_WAITING {
            sender.queue(digit).unwrap();
        }
        assert_eq!(sender.queue(digit), Err(QueueDtmfError::Full));
    }
}
