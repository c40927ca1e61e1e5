//! Which microphone and speaker: `--input`, `--output`, `--microphone`, `--speaker`.

use std::path::Path;

use offhook_client::MicrophoneError;
use offhook_media::{AudioProcessing, Device, OpenDeviceError};

use crate::args::SoundArguments;
use crate::failure::{Exit, Failure};

/// What `--microphone` and `--speaker` take for silence and nothing.
const NULL: &str = "null";

/// The microphone; a file is looked at now, so that a wrong one is known before anybody is rung.
pub(crate) fn microphone(arguments: &SoundArguments) -> Result<Device, Failure> {
    if let Some(path) = &arguments.input {
        check_wav(path)?;
        return Ok(Device::wav(path));
    }
    device(arguments.microphone.as_deref(), "--microphone")
}

/// The speaker.
pub(crate) fn speaker(arguments: &SoundArguments) -> Result<Device, Failure> {
    match &arguments.output {
        Some(path) => Ok(Device::wav(path)),
        None => device(arguments.speaker.as_deref(), "--speaker"),
    }
}

/// What is left of the processing of a microphone when something of it was refused; files and silence have none to refuse.
pub(crate) fn processing(arguments: &SoundArguments, microphone: &Device) -> Option<AudioProcessing> {
    let processing = AudioProcessing {
        high_pass_filter: !arguments.no_high_pass,
        echo_cancellation: !arguments.no_echo_cancellation,
        noise_suppression: !arguments.no_noise_suppression,
        auto_gain_control: !arguments.no_auto_gain,
        ..AudioProcessing::ON
    };
    (microphone.is_of_the_system() && processing != AudioProcessing::ON).then_some(processing)
}

/// A device by the id that `offhook devices` lists.
pub(crate) fn device(id: Option<&str>, option: &str) -> Result<Device, Failure> {
    match id {
        None => Ok(Device::Default),
        Some(NULL) => Ok(Device::Null),
        Some(id) => id.parse().map(Device::Id).map_err(|error| {
            Failure::usage(format!("{option} {id:?}: {error}")).advice("`offhook devices` lists them")
        }),
    }
}

fn check_wav(path: &Path) -> Result<(), Failure> {
    let unusable = |why: String| {
        Failure::new(Exit::Sound, format!("--input {}: {why}", path.display()))
            .advice("give a WAV file that can be read")
    };
    match hound::WavReader::open(path) {
        Ok(_) => Ok(()),
        Err(hound::Error::IoError(error)) => Err(unusable(error.to_string())),
        Err(error) => Err(unusable(format!("not a WAV file that is read: {error}"))),
    }
}

/// A device that does not open, and what to do about it.
pub(crate) fn not_opened(side: &str, error: &OpenDeviceError) -> Failure {
    let what = match error {
        OpenDeviceError::NotFound(Device::Default) => format!("this machine has no default {side}"),
        other => format!("the {side} does not open: {other}"),
    };
    let advice = match error {
        OpenDeviceError::NotFound(Device::Default) | OpenDeviceError::NoSoundSystem(_) => {
            "calls do without: --input FILE.wav, --output FILE.wav, or `null` as a device"
        }
        OpenDeviceError::NotFound(_) | OpenDeviceError::WrongDirection => {
            "`offhook devices` lists what there is"
        }
        OpenDeviceError::Busy => "another program holds it: end that, or choose another (`offhook devices`)",
        OpenDeviceError::PermissionDenied => "allow it in the system's settings, or join the group `audio`",
        OpenDeviceError::Wav { .. } => "check the path, its folder and its permissions",
        _ => "choose another one: `offhook devices` lists them",
    };
    Failure::new(Exit::Sound, what).advice(advice)
}

/// The same for a microphone that the client opened.
pub(crate) fn no_microphone(error: &MicrophoneError) -> Failure {
    match error {
        MicrophoneError::Open(error) => not_opened("microphone", error),
        other => Failure::new(Exit::Sound, other.to_string())
            .advice("choose another one: `offhook devices` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_null_and_nonsense() {
        assert_eq!(device(None, "--speaker"), Ok(Device::Default));
        assert_eq!(device(Some("null"), "--speaker"), Ok(Device::Null));
        assert!(matches!(device(Some("alsa:hw:0"), "--speaker"), Ok(Device::Id(_))));
        let failure = device(Some("nonsense"), "--speaker").unwrap_err().to_string();
        assert!(
            failure.contains("--speaker \"nonsense\"") && failure.contains("offhook devices"),
            "{failure}"
        );
    }

    #[test]
    fn a_file_that_is_no_wav_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.wav");
        std::fs::write(&path, "not sound").unwrap();
        assert!(check_wav(&path).unwrap_err().to_string().contains("text.wav"));
        assert!(check_wav(&folder.path().join("none.wav")).unwrap_err().to_string().contains("none.wav"));
    }
}
