//! Bodies of the fuzz targets: bytes in, invariants asserted. Not part of the public interface.

use std::io::Cursor;

use crate::sound::{read_wav, write_wav};
use crate::trace::{MAX_PACKETS, Trace};

/// Larger inputs only take longer.
const MOST_BYTES: usize = 4 * 1024;

/// The trace reader: what it accepts is in order, in bounds, and reads back the same after writing.
///
/// # Panics
/// When an invariant does not hold.
pub fn trace_csv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(trace) = Trace::parse(text) else { return };
    assert!(trace.packets.len() <= MAX_PACKETS);
    assert!(trace.packets.is_sorted_by_key(|packet| packet.sent));
    assert!((0.0..=1.0).contains(&trace.loss()));
    let again = Trace::parse(&trace.to_csv());
    assert_eq!(again.as_ref().ok(), Some(&trace));
}

/// The WAV reader: what it accepts is finite, not longer than its bytes can hold, and survives writing to 16 bits.
///
/// # Panics
/// When an invariant does not hold.
pub fn sim_wav(data: &[u8]) {
    let data = &data[..data.len().min(MOST_BYTES)];
    let Ok(sound) = read_wav(data) else { return };
    assert!(sound.iter().all(|sample| sample.is_finite()));
    // One byte per sample at least, and 4 kHz becomes 48 kHz at most.
    assert!(sound.len() <= 12 * data.len());
    let mut file = Cursor::new(Vec::new());
    assert!(write_wav(&mut file, &sound).is_ok());
    let again = read_wav(file.into_inner().as_slice()).unwrap_or_default();
    assert_eq!(again.len(), sound.len());
    let close = |(a, b): (&f32, &f32)| (a.clamp(-1.0, 1.0) - b).abs() < 1e-4;
    assert!(sound.iter().zip(&again).all(close));
}
