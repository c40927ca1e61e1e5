//! Of everything the sound system calls a device, what a person would.

use super::DeviceInfo;

/// Prefix of the ALSA devices that are cards, with conversions; `hw` is the same card without, and most of the other names lead there too.
const CARD: &str = "alsa:plughw:CARD=";

/// Leaves out ALSA's plugins, second names of a card and the monitors of speakers. A default is never left out.
pub(super) fn curated(devices: Vec<DeviceInfo>) -> Vec<DeviceInfo> {
    let named = devices.iter().any(|device| is_card(device.id.as_str(), false));
    let wanted = |device: &DeviceInfo| {
        let id = device.id.as_str();
        match id.strip_prefix("alsa:") {
            Some("default") => true,
            Some(_) => is_card(id, !named),
            None => !id.ends_with(".monitor"),
        }
    };
    devices.into_iter().filter(|device| device.is_default || wanted(device)).collect()
}

/// Whether this is a card by its name, or by its number, as which each is listed again.
fn is_card(id: &str, by_number: bool) -> bool {
    id.strip_prefix(CARD)
        .is_some_and(|card| card.starts_with(|first: char| first.is_ascii_digit()) == by_number)
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;

    fn kept(ids: &[&str], default: &str) -> Vec<String> {
        let device = |id: &&str| DeviceInfo {
            id: id.parse().unwrap(),
            name: String::new(),
            direction: Direction::Capture,
            is_default: *id == default,
        };
        curated(ids.iter().map(device).collect()).iter().map(|device| device.id.to_string()).collect()
    }

    #[test]
    fn a_machine_without_a_card_has_no_devices() {
        let plugins = ["alsa:null", "alsa:speexrate", "alsa:jack", "alsa:pulse", "alsa:upmix"];
        assert!(kept(&plugins, "alsa:default").is_empty());
    }

    #[test]
    fn each_card_is_listed_once_and_by_name() {
        let names = [
            "alsa:default",
            "alsa:sysdefault:CARD=PCH",
            "alsa:hw:CARD=PCH,DEV=0",
            "alsa:plughw:CARD=PCH,DEV=0",
            "alsa:hw:CARD=0,DEV=0",
            "alsa:plughw:CARD=0,DEV=0",
            "alsa:front:CARD=PCH,DEV=0",
        ];
        assert_eq!(kept(&names, "alsa:default"), ["alsa:default", "alsa:plughw:CARD=PCH,DEV=0"]);
        assert_eq!(kept(&names[4..], ""), ["alsa:plughw:CARD=0,DEV=0"]);
    }

    #[test]
    fn a_monitor_is_no_microphone_unless_it_is_the_default() {
        let ids = ["pulseaudio:mic", "pulseaudio:speaker.monitor"];
        assert_eq!(kept(&ids, "pulseaudio:mic"), ["pulseaudio:mic"]);
        assert_eq!(kept(&ids, "pulseaudio:speaker.monitor"), ids);
    }
}
