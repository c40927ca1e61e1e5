//! A signal between its samples.

/// Samples needed before the place, and after it.
pub(super) const BEFORE: i64 = 2;
pub(super) const AFTER: i64 = 3;

/// The signal at `position`, of which `at` gives the samples: the polynomial through six of them.
pub(super) fn interpolated(position: f64, at: impl Fn(i64) -> f32) -> f32 {
    let whole = position.floor();
    polynomial(std::array::from_fn(|tap| at(whole as i64 + tap as i64 - BEFORE)), (position - whole) as f32)
}

/// The polynomial through six samples, between the third and the fourth.
fn polynomial(y: [f32; 6], at: f32) -> f32 {
    let x: [f32; 6] = std::array::from_fn(|tap| at + 2.0 - tap as f32);
    let below = [x[0], x[0] * x[1], x[0] * x[1] * x[2], x[0] * x[1] * x[2] * x[3]];
    let above = [x[5], x[5] * x[4], x[5] * x[4] * x[3], x[5] * x[4] * x[3] * x[2]];
    -y[0] * x[1] * above[3] / 120.0 + y[1] * below[0] * above[3] / 24.0 - y[2] * below[1] * above[2] / 12.0
        + y[3] * below[2] * above[1] / 12.0
        - y[4] * below[3] * above[0] / 24.0
        + y[5] * below[3] * x[4] / 120.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_samples_it_is_the_tone() {
        for hertz in [500.0, 3000.0, 6000.0] {
            let tone = |at: f64| (at * hertz / 48_000.0 * std::f64::consts::TAU).sin();
            for at in [0.0, 0.1, 0.5, 0.77, 100.3] {
                let read = interpolated(at, |index| tone(index as f64) as f32);
                assert!((f64::from(read) - tone(at)).abs() < 3e-3, "{hertz} {at}");
            }
        }
    }
}
