//! Names of devices that can be written down.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest id that is read.
const MOST_BYTES: usize = 1024;

/// Microphone side or speaker side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sound comes in.
    Capture,
    /// Sound goes out.
    Render,
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Capture => "capture",
            Self::Render => "render",
        })
    }
}

/// A device of the system, as `sound-system:name`. Stays the same across restarts: write it down with `to_string`, read it with `parse`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Box<str>);

/// Not a device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a device id has the form sound-system:name")]
pub struct ParseDeviceIdError;

impl DeviceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = ParseDeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').filter(|(host, name)| !host.is_empty() && !name.is_empty());
        if parts.is_none() || text.len() > MOST_BYTES || text.chars().any(char::is_control) {
            return Err(ParseDeviceIdError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// To open it by.
    pub id: DeviceId,
    /// For people.
    pub name: String,
    /// Microphone or speaker.
    pub direction: Direction,
    /// Whether it is the system's default.
    pub is_default: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_down_and_read_again() {
        let id: DeviceId = "pulseaudio:alsa_output.pci:0".parse().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "x", ":x", "x:", "a:b\nc"] {
            assert_eq!(wrong.parse::<DeviceId>(), Err(ParseDeviceIdError));
        }
        assert_eq!(format!("a:{}", "x".repeat(2000)).parse::<DeviceId>(), Err(ParseDeviceIdError));
    }
}
