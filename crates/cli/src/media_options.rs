//! `--ptime`, `--bitrate`, `--redundancy` and `--record`: how the command line reads them and the client takes them.

use std::path::Path;

use offhook_client::{
    BitsPerSecond, Call, ClientBuilder, FlightRecording, IceServer, LatencyMode, PacketTime,
};
use offhook_sim::stand::Redundancy;

use crate::args::{MediaArguments, RecordArguments};
use crate::failure::Failure;

/// Reads `--ptime`.
pub(crate) fn packet_time(milliseconds: &str) -> Result<PacketTime, String> {
    Ok(match milliseconds {
        "5" => PacketTime::Ms5,
        "10" => PacketTime::Ms10,
        "20" => PacketTime::Ms20,
        "40" => PacketTime::Ms40,
        "60" => PacketTime::Ms60,
        _ => return Err("must be 5, 10, 20, 40 or 60".to_owned()),
    })
}

/// Reads `--redundancy`.
pub(crate) fn redundancy(name: &str) -> Result<Redundancy, String> {
    Ok(match name {
        "auto" => Redundancy::Auto,
        "none" => Redundancy::None,
        "fec" => Redundancy::Fec,
        "red" => Redundancy::Red,
        "dred" => Redundancy::Dred,
        _ => return Err("must be auto, none, fec, red or dred".to_owned()),
    })
}

/// Reads `--ice-server`: the client checks the URL.
pub(crate) fn ice_server(text: &str) -> Result<IceServer, String> {
    let mut parts = text.splitn(3, ',');
    let url = parts.next().unwrap_or_default().to_owned();
    match (parts.next(), parts.next()) {
        (None, None) => Ok(IceServer { urls: vec![url], username: None, credential: None }),
        (Some(user), Some(password)) if !user.is_empty() && !password.is_empty() => Ok(IceServer {
            urls: vec![url],
            username: Some(user.to_owned()),
            credential: Some(password.to_owned()),
        }),
        _ => Err("after the URL come a user name and a password, with commas between".to_owned()),
    }
}

/// What [`redundancy`] reads as this.
pub(crate) const fn redundancy_name(redundancy: Redundancy) -> &'static str {
    match redundancy {
        Redundancy::Auto => "auto",
        Redundancy::None => "none",
        Redundancy::Fec => "fec",
        Redundancy::Red => "red",
        Redundancy::Dred => "dred",
    }
}

/// What client and engine are tuned for.
pub(crate) const fn latency(arguments: &MediaArguments) -> LatencyMode {
    if arguments.low_latency { LatencyMode::Low } else { LatencyMode::Normal }
}

/// Sets what was given; the rest stays as the client has it.
pub(crate) fn apply(
    mut builder: ClientBuilder,
    arguments: &MediaArguments,
    record: &RecordArguments,
) -> ClientBuilder {
    if record.record_sound {
        builder = builder.flight_recording(FlightRecording::Sound);
    }
    builder = builder.latency(latency(arguments)).light(arguments.light);
    if let Some(packet_time) = arguments.ptime {
        builder = builder.packet_time(packet_time);
    }
    if let Some(bitrate) = arguments.bitrate {
        builder = builder.bitrate(BitsPerSecond(bitrate));
    }
    builder
}

/// Writes what arrived in the call where `--record` says.
pub(crate) fn save_recording(call: &Call, arguments: &RecordArguments) -> Result<(), Failure> {
    let save = |path: &Path| {
        call.save_recording(path).map_err(|error| {
            Failure::failed(format!("--record {}: {error}", path.display()))
                .advice("choose a file in a folder that can be written to")
        })
    };
    arguments.record.as_deref().map_or(Ok(()), save)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundancy_is_read_by_its_name() {
        for name in ["auto", "none", "fec", "red", "dred"] {
            assert_eq!(redundancy(name).map(redundancy_name), Ok(name));
        }
        assert!(redundancy("much").is_err());
    }

    #[test]
    fn packet_times_are_those_of_the_help() {
        assert_eq!(packet_time("10"), Ok(PacketTime::Ms10));
        assert!(packet_time("15").unwrap_err().contains("5, 10, 20, 40 or 60"));
    }
}
