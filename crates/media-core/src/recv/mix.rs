//! Several far ends in one sink.

/// Adds `source` to `sum`, sample by sample.
pub fn mix_into(sum: &mut [f32], source: &[f32]) {
    for (sum, source) in sum.iter_mut().zip(source) {
        *sum += source;
    }
}
