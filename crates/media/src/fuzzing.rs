//! Bodies of the fuzz targets: bytes in, invariants asserted. Not part of the public interface.

use crate::wav::read_wav;

/// Larger inputs only take longer.
const MOST_BYTES: usize = 4 * 1024;

/// What a sound server sends a stream: what comes of it does not depend on how it is cut. The first byte says how.
///
/// # Panics
/// When an invariant does not hold.
#[cfg(target_os = "linux")]
pub fn pulse_stream(data: &[u8]) {
    crate::device::fuzz_pulse_stream(data);
}

/// The WAV reader: what it accepts is finite, in range, and not longer than its bytes can hold.
///
/// # Panics
/// When an invariant does not hold.
pub fn wav_reader(data: &[u8]) {
    let data = &data[..data.len().min(MOST_BYTES)];
    let Ok(sound) = read_wav(data) else { return };
    assert!(sound.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    // One byte per sample at least, and 4 kHz becomes 48 kHz at most.
    assert!(sound.len() <= 12 * data.len());
}
