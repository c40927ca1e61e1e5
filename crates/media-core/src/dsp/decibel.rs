//! Decibels and factors.

/// The factor by which `decibel` changes an amplitude: 6 dB double it, about.
pub fn amplitude_of(decibel: f32) -> f32 {
    10.0_f32.powf(decibel / 20.0)
}

/// The change of an amplitude by `factor`, in decibels; minus infinity for zero and below.
pub fn decibel_of(factor: f32) -> f32 {
    if factor > 0.0 { 20.0 * factor.log10() } else { f32::NEG_INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_and_factors_are_inverse() {
        assert!((amplitude_of(-20.0) - 0.1).abs() < 1e-6);
        assert!((decibel_of(amplitude_of(13.5)) - 13.5).abs() < 1e-4);
        assert_eq!(decibel_of(0.0), f32::NEG_INFINITY);
    }
}
