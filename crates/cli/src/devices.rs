//! `offhook devices`.

use std::fmt::Write as _;
use std::process::ExitCode;

use offhook_media::{DeviceInfo, Direction};
use serde::Serialize;

use crate::args::DevicesArguments;
use crate::terminal;

/// Lists microphones and speakers.
pub(crate) fn run(arguments: &DevicesArguments) -> ExitCode {
    let devices = if arguments.all { offhook_media::all_devices() } else { offhook_media::devices() };
    if arguments.json {
        terminal::print_json(&devices.iter().map(Listed::from).collect::<Vec<_>>());
    } else {
        terminal::print(table(&devices).trim_end());
    }
    ExitCode::SUCCESS
}

/// One device, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    name: &'a str,
    direction: &'static str,
    default: bool,
}

impl<'a> From<&'a DeviceInfo> for Listed<'a> {
    fn from(device: &'a DeviceInfo) -> Self {
        let direction = match device.direction {
            Direction::Capture => "microphone",
            Direction::Render => "speaker",
        };
        Self { id: device.id.as_str(), name: &device.name, direction, default: device.is_default }
    }
}

fn table(devices: &[DeviceInfo]) -> String {
    if devices.is_empty() {
        return "No sound devices: this machine has none, or its sound system does not run.\n\
                `offhook devices --all` lists plugins too. `offhook call` and `answer` also take WAV files (--input, --output) and the device `null`."
            .to_owned();
    }
    let width = devices.iter().map(|device| device.id.as_str().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (title, direction) in [("Microphones", Direction::Capture), ("Speakers", Direction::Render)] {
        let _ = writeln!(text, "{title} (* is the default)");
        for device in devices.iter().filter(|device| device.direction == direction) {
            let mark = if device.is_default { '*' } else { ' ' };
            let _ = writeln!(text, " {mark} {:<width$}  {}", device.id.as_str(), device.name);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_marked_on_each_side() {
        let device = |id: &str, direction, is_default| DeviceInfo {
            id: id.parse().unwrap(),
            name: "Some device".to_owned(),
            direction,
            is_default,
        };
        let table = table(&[
            device("pulseaudio:mic", Direction::Capture, true),
            device("pulseaudio:speaker", Direction::Render, false),
        ]);
        assert!(table.contains(" * pulseaudio:mic      Some device"), "{table}");
        assert!(table.contains("   pulseaudio:speaker  Some device"), "{table}");
    }

    #[test]
    fn no_device_is_told_with_a_way_out() {
        assert!(table(&[]).contains("--input"));
    }
}
