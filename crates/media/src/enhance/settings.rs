//! What is switched on.

/// What is done to a microphone's sound. The names are those of browsers and of the WebRTC audio processing module.
///
/// A microphone that is a device of the system has all of it by default; one that is a WAV file, a PCM stream or nothing has none, and its sound is
/// passed on to the sample and without delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioProcessing {
    /// Takes away rumble below 80 Hz: desks, wind, mains.
    pub high_pass_filter: bool,
    /// Takes away what the loudspeakers of this engine play. Adds 7 ms.
    pub echo_cancellation: bool,
    /// Takes away what is no voice. Adds 10 ms.
    pub noise_suppression: bool,
    /// Brings voices to an even loudness.
    pub auto_gain_control: bool,
    /// The level a microphone tells, and whether it is voice, are those of the processed sound, as the noise suppressor hears it.
    pub voice_detection: bool,
}

impl AudioProcessing {
    /// Everything.
    pub const ON: Self = Self {
        high_pass_filter: true,
        echo_cancellation: true,
        noise_suppression: true,
        auto_gain_control: true,
        voice_detection: true,
    };

    /// Nothing: the sound of the microphone as it is.
    pub const OFF: Self = Self {
        high_pass_filter: false,
        echo_cancellation: false,
        noise_suppression: false,
        auto_gain_control: false,
        voice_detection: false,
    };

    /// Whether any of it changes the sound.
    pub const fn changes_sound(self) -> bool {
        self.high_pass_filter || self.echo_cancellation || self.noise_suppression || self.auto_gain_control
    }

    /// Whether any of it is more than the media thread does by itself.
    pub(crate) const fn needs_worker(self) -> bool {
        self.echo_cancellation || self.noise_suppression || self.auto_gain_control
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.high_pass_filter as u32
            | (self.echo_cancellation as u32) << 1
            | (self.noise_suppression as u32) << 2
            | (self.auto_gain_control as u32) << 3
            | (self.voice_detection as u32) << 4
    }

    pub(crate) const fn of_bits(bits: u32) -> Self {
        Self {
            high_pass_filter: bits & 1 != 0,
            echo_cancellation: bits & 2 != 0,
            noise_suppression: bits & 4 != 0,
            auto_gain_control: bits & 8 != 0,
            voice_detection: bits & 16 != 0,
        }
    }
}

impl Default for AudioProcessing {
    fn default() -> Self {
        Self::ON
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_bit_of_its_own() {
        for bits in 0..32 {
            let settings = AudioProcessing::of_bits(bits);
            assert_eq!(settings.to_bits(), bits);
            assert_eq!(settings.changes_sound(), bits & 15 != 0);
        }
        assert_eq!(AudioProcessing::ON.to_bits(), 31);
        assert_eq!(AudioProcessing::OFF.to_bits(), 0);
    }
}
