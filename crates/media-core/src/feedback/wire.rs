//! The bytes of a report: a version, then numbers in network byte order.

use std::time::Duration;

use thiserror::Error;

use super::NetworkReport;
use crate::units::Ppm;

/// Bytes of a report.
pub const LENGTH: usize = 36;
/// What the first byte says. Another number is another layout.
const VERSION: u8 = 2;
/// Delays are told in eighths of a millisecond.
const DELAY_UNIT_MICROS: u64 = 125;
/// A delay that is not known.
const NO_DELAY: u16 = u16::MAX;
/// A signed number that is not known.
const NOTHING: i16 = i16::MIN;
/// Units of drift per ppm, and of the trend per second per second.
const DRIFT_UNITS: f64 = 16.0;
const TREND_UNITS: f32 = 4096.0;

/// Why bytes are no report, or a report makes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NetworkReportError {
    /// Fewer than [`LENGTH`] bytes, or more: drop it.
    #[error("a report has {LENGTH} bytes, not {0}")]
    Length(usize),
    /// Written by another version: drop it and go by receiver reports.
    #[error("version {0} of the report is not known")]
    Version(u8),
    /// The output has fewer than [`LENGTH`] bytes.
    #[error("a report needs {LENGTH} bytes of room")]
    BufferTooSmall,
}

impl NetworkReport {
    /// Writes the report; returns its length, [`LENGTH`]. What is beyond its field's range is told as the range's end.
    ///
    /// # Errors
    /// [`NetworkReportError::BufferTooSmall`].
    pub fn write(&self, out: &mut [u8]) -> Result<usize, NetworkReportError> {
        let out = out.get_mut(..LENGTH).ok_or(NetworkReportError::BufferTooSmall)?;
        let mut writer = Writer { out, at: 0 };
        writer.put([VERSION]);
        writer.put(self.expected.to_be_bytes());
        writer.put(of_share(self.loss).to_be_bytes());
        writer.put(self.bursts);
        writer.put(of_delay(self.queue_delay).to_be_bytes());
        writer.put(of_delay(self.standing_delay).to_be_bytes());
        writer.put(self.queue_trend.map_or(NOTHING, |trend| signed(trend * TREND_UNITS)).to_be_bytes());
        for share in
            [self.late, self.recovered_fec, self.recovered_red, self.recovered_dred, self.unrecovered]
        {
            writer.put(of_share(share).to_be_bytes());
        }
        writer.put(of_delay(self.playout_delay).to_be_bytes());
        writer.put(of_delay(self.packet_wait).to_be_bytes());
        writer.put(self.drift.map_or(NOTHING, |drift| signed((drift.0 * DRIFT_UNITS) as f32)).to_be_bytes());
        writer.put(self.received.to_be_bytes());
        Ok(writer.at)
    }

    /// Reads a report. Every number is in its range, whatever the bytes are.
    ///
    /// # Errors
    /// [`NetworkReportError::Length`], [`NetworkReportError::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NetworkReportError> {
        if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
            return Err(NetworkReportError::Version(*version));
        }
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| NetworkReportError::Length(bytes.len()))?;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let signed = |at: usize| Some(word(at) as i16).filter(|value| *value != NOTHING);
        Ok(Self {
            expected: word(1),
            loss: to_share(word(3)),
            bursts: [bytes[5], bytes[6], bytes[7], bytes[8], bytes[9]],
            queue_delay: to_delay(word(10)),
            standing_delay: to_delay(word(12)),
            queue_trend: signed(14).map(|trend| f32::from(trend) / TREND_UNITS),
            late: to_share(word(16)),
            recovered_fec: to_share(word(18)),
            recovered_red: to_share(word(20)),
            recovered_dred: to_share(word(22)),
            unrecovered: to_share(word(24)),
            playout_delay: to_delay(word(26)),
            packet_wait: to_delay(word(28)),
            drift: signed(30).map(|drift| Ppm(f64::from(drift) / DRIFT_UNITS)),
            received: u32::from(word(32)) << 16 | u32::from(word(34)),
        })
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }
}

fn of_share(share: f32) -> u16 {
    (share.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16
}

fn to_share(word: u16) -> f32 {
    f32::from(word) / f32::from(u16::MAX)
}

fn of_delay(delay: Option<Duration>) -> u16 {
    delay.map_or(NO_DELAY, |delay| {
        let units = delay.as_micros() / u128::from(DELAY_UNIT_MICROS);
        u16::try_from(units).unwrap_or(NO_DELAY).min(NO_DELAY - 1)
    })
}

fn to_delay(word: u16) -> Option<Duration> {
    (word != NO_DELAY).then(|| Duration::from_micros(u64::from(word) * DELAY_UNIT_MICROS))
}

fn signed(value: f32) -> i16 {
    (value.round() as i16).max(NOTHING + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> NetworkReport {
        NetworkReport {
            expected: 13,
            loss: 0.25,
            bursts: [1, 2, 3, 4, 255],
            queue_delay: Some(Duration::from_millis(120)),
            standing_delay: Some(Duration::from_micros(2500)),
            queue_trend: Some(-0.125),
            late: 0.5,
            recovered_fec: 0.0,
            recovered_red: 0.125,
            recovered_dred: 0.0625,
            unrecovered: 1.0,
            playout_delay: None,
            packet_wait: Some(Duration::from_millis(73)),
            drift: Some(Ppm(-200.0)),
            received: 48_000,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = [0; 40];
        let length = report().write(&mut bytes).unwrap();
        let read = NetworkReport::parse(&bytes[..length]).unwrap();
        let rounded = NetworkReport {
            loss: read.loss,
            late: read.late,
            recovered_red: read.recovered_red,
            recovered_dred: read.recovered_dred,
            ..report()
        };
        assert_eq!(read, rounded);
        assert!((read.loss - 0.25).abs() < 1e-4 && (read.recovered_dred - 0.0625).abs() < 1e-4);
        assert!(length <= 40);
        let nothing = NetworkReport::default();
        let length = nothing.write(&mut bytes).unwrap();
        assert_eq!(NetworkReport::parse(&bytes[..length]), Ok(nothing));
    }

    #[test]
    fn what_is_out_of_range_is_told_as_its_end() {
        let far = NetworkReport {
            loss: 7.0,
            queue_delay: Some(Duration::from_secs(3600)),
            queue_trend: Some(f32::NAN),
            drift: Some(Ppm(-1e9)),
            ..NetworkReport::default()
        };
        let mut bytes = [0; LENGTH];
        far.write(&mut bytes).unwrap();
        let read = NetworkReport::parse(&bytes).unwrap();
        assert_eq!((read.loss, read.queue_trend), (1.0, Some(0.0)));
        assert_eq!(read.queue_delay, Some(Duration::from_micros(65_534 * 125)));
        assert!(read.drift.unwrap().0 < -2000.0);
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut bytes = [0; LENGTH];
        report().write(&mut bytes).unwrap();
        assert_eq!(NetworkReport::parse(&bytes[..35]), Err(NetworkReportError::Length(35)));
        assert_eq!(NetworkReport::parse(&[]), Err(NetworkReportError::Length(0)));
        bytes[0] = 1;
        assert_eq!(NetworkReport::parse(&bytes), Err(NetworkReportError::Version(1)));
        assert_eq!(report().write(&mut bytes[1..]), Err(NetworkReportError::BufferTooSmall));
    }
}
